"""AN4 as features: splits, differences, codes, dictionary."""

from __future__ import annotations

import numpy as np
import pytest

from accelsim.data.an4 import (
    DICTIONARY,
    FILE,
    TREE,
    WOMEN,
    differences,
    feature_codes,
    load_an4,
    load_dictionary,
    phones_of,
)
from accelsim.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """Three utterances of 2, 3 and 4 frames in AN4's layout, and a dictionary of two words."""
    np.savez(
        tmp_path / FILE,
        mfcc=np.arange(9 * 13, dtype=np.float16).reshape(9, 13),
        offsets=np.array([0, 2, 5, 9]),
        utt=np.array(["a", "b", "c"]),
        speaker=np.array(["x", "y", "x"]),
        split=np.array(["train", "test", "train"]),
        text=np.array(["YES", "A A", "YES A"]),
    )
    (tmp_path / DICTIONARY).write_text("A        AH\nA(2)     EY\nYES      Y EH S\n")
    return tmp_path


def test_splits(folder):
    train, test = load_an4("train", folder), load_an4("test", folder)
    assert [(u.name, u.speaker, u.words) for u in train] == [("a", "x", ("YES",)), ("c", "x", ("YES", "A"))]
    assert [u.name for u in test] == ["b"]
    np.testing.assert_array_equal(test[0].mfcc, np.arange(26, 65, dtype=np.float32).reshape(3, 13))
    with pytest.raises(ValueError, match="splits train, test and test_all, found 'dev'"):
        load_an4("dev", folder)
    with pytest.raises(FileNotFoundError):
        load_an4("train", folder / "nowhere")


@pytest.fixture
def tree(tmp_path):
    """CMU's own folder: one utterance to train on, two to test on, one of them by a woman."""
    files = {"train": ["an4_clstk/x/a-x"], "test": [f"an4test_clstk/{WOMEN[0]}/b-{WOMEN[0]}", "an4test_clstk/y/c-y"]}
    etc = tmp_path / TREE / "etc"
    etc.mkdir(parents=True)
    for part, names in files.items():
        (etc / f"an4_{part}.fileids").write_text("".join(f"{name}\n" for name in names))
        (etc / f"an4_{part}.transcription").write_text(
            "".join(f"<s> YES A </s> ({name.rpartition('/')[2]})\n" for name in names)
        )
        for frames, name in enumerate(names, 2):
            path = tmp_path / TREE / "feat" / f"{name}.mfc"
            path.parent.mkdir(parents=True)
            values = np.arange(frames * 13) / 3
            path.write_bytes(np.array(len(values), ">i4").tobytes() + values.astype(">f4").tobytes())
    (etc / DICTIONARY).write_text("A        AH\nYES      Y EH S\n")
    return tmp_path


def test_cmus_own_folder_is_read_as_the_packed_file_is(tree):
    (one,) = load_an4("train", tree)
    assert (one.name, one.speaker, one.words) == ("a-x", "x", ("YES", "A"))
    rounded = (np.arange(26) / 3).astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(one.mfcc, rounded.reshape(2, 13))
    assert [u.speaker for u in load_an4("test", tree)] == ["y"]
    assert [u.speaker for u in load_an4("test_all", tree)] == [WOMEN[0], "y"]
    assert load_dictionary(tree)["YES"] == [("Y", "EH", "S")]


def test_the_packed_file_lacks_the_women(folder):
    with pytest.raises(InputError, match=r"fcaw, fjlp, fvap of test_all are not in it .*accelsim data get an4"):
        load_an4("test_all", folder)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("feat/an4_clstk/x/a-x.mfc", b"", "a-x.mfc: not a file of 13 cepstra a frame"),
        ("feat/an4_clstk/x/a-x.mfc", b"\0\0\0\x0e" + bytes(4 * 13), "a-x.mfc: not a file of 13 cepstra a frame"),
        (
            "feat/an4_clstk/x/a-x.mfc",
            b"\0\0\0\x0d" + b"\x7f\x80\0\0" * 13,
            "a-x.mfc: holds cepstra that are no",
        ),
        (
            "etc/an4_train.transcription",
            b"YES (a-y)\n",
            r":1: expected the text of 'a-x', found 'YES \(a-y\)'",
        ),
        ("etc/an4_train.transcription", b"", r"transcription: expected 1 lines as in an4_train.fileids, found 0"),
        ("etc/an4_train.fileids", b"a-x\n", r"fileids:1: expected a folder, a speaker and a name, found 'a-x'"),
    ],
)
def test_a_damaged_folder_is_told_by_file_and_line(tree, file, content, message):
    (tree / TREE / file).write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_an4("train", tree)


def test_dictionary(folder):
    assert load_dictionary(folder) == {"A": [("AH",), ("EY",)], "YES": [("Y", "EH", "S")]}


def test_phones(folder):
    """The first pronunciation, but A as it is spelled; None where a word is not in the dictionary."""
    dictionary = load_dictionary(folder)
    assert phones_of(("YES", "A"), dictionary) == ("Y", "EH", "S", "EY")
    assert phones_of(("YES", "NO"), dictionary) is None


def test_differences_by_hand():
    """A step from 0 to 1 between frames 1 and 2: (x[t+1] - x[t-1] + 2 (x[t+2] - x[t-2])) / 10."""
    step = np.array([0, 0, 1, 1, 1], np.float32)[:, None]
    np.testing.assert_allclose(differences(step)[:, 0], [0.2, 0.3, 0.3, 0.2, 0.0])


def test_codes():
    random = np.random.default_rng(0)
    mfcc = random.normal(3, 2, (50, 13)).astype(np.float32)
    mfcc[:, 5] = 1.0  # a column that never moves has no deviation to divide by
    codes = feature_codes(mfcc)
    assert codes.shape == (50, 39) and codes.dtype == np.int8
    moving = np.delete(np.arange(39), [5, 18, 31])
    np.testing.assert_allclose(codes[:, moving].mean(axis=0), 0, atol=0.5)
    np.testing.assert_allclose(codes[:, moving].std(axis=0), 32, atol=1.0)
    assert not codes[:, [5, 18, 31]].any()
    wanted = 32 * (mfcc[:, 0] - mfcc[:, 0].mean()) / mfcc[:, 0].std()
    np.testing.assert_allclose(codes[:, 0], wanted, atol=0.51)


def test_codes_are_clamped():
    mfcc = np.zeros((100, 13), np.float32)
    mfcc[50] = 100.0
    assert feature_codes(mfcc)[50, 0] == 127
