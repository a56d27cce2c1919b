"""Make recordings that a wake word can be tested with: espeak-ng's voices say it, and other words.

    python workloads/wake_word/voices.py "okay nabu" --out voices --seed 1

Every positive and every other phrase is said by one of several voices at a drawn speed and pitch, with silence around
it; ``--noise`` adds white noise so many dB below the speech. The folder gets 16 kHz WAV files and ``recordings.tsv``,
as the inputs ``{source: folder, path: voices}`` of a workload read them. Nothing is downloaded; espeak-ng comes from
the system's packages (GPL-3.0-or-later; what it says is not under its licence).

Synthetic voices are clearer than people: what is detected of them says little about a kitchen. They serve to compare
chips that run one network.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

RATE_HZ = 16_000
VOICES = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-us-nyc")
TIMBRES = ("", "+f2", "+f4", "+m3", "+m7")
WORDS_A_MINUTE = (130, 190)
PITCHES = (30, 70)
SILENCE_S = (0.6, 1.2)
LEVELS = (0.1, 0.5)
"""Peak of the speech, of full scale."""
OTHERS = (
    "okay", "okay now", "okay never", "oh kate and abby", "hey google", "hey siri", "alexa", "hey jarvis",
    "hey mycroft", "okay nabu", "turn on the kitchen lights", "what is the weather tomorrow",
    "set a timer for ten minutes", "play some music please", "good morning everyone",
    "the quick brown fox jumps over the lazy dog", "okay let us begin", "a new boat", "occasionally it rains",
    "how much is the fish",
)  # fmt: skip


def spoken(text: str, voice: str, speed: int, pitch: int) -> NDArray[np.float64]:
    """Return what espeak-ng says, mono at 16 kHz."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text]
    wave = subprocess.run(command, check=True, capture_output=True).stdout
    audio, rate_hz = soundfile.read(io.BytesIO(wave))
    divisor = np.gcd(rate_hz, RATE_HZ)
    return np.asarray(resample_poly(audio, RATE_HZ // divisor, rate_hz // divisor))


def recording(text: str, random: np.random.Generator, noise_db: float | None) -> tuple[NDArray[np.float64], str]:
    """Return a phrase with silence around it, and the voice that says it."""
    voice = str(random.choice(VOICES)) + str(random.choice(TIMBRES))
    speech = spoken(text, voice, int(random.integers(*WORDS_A_MINUTE)), int(random.integers(*PITCHES)))
    speech *= random.uniform(*LEVELS) / np.abs(speech).max()
    before, after = (np.zeros(round(random.uniform(*SILENCE_S) * RATE_HZ)) for _ in range(2))
    audio = np.concatenate([before, speech, after])
    if noise_db is not None:
        audio += random.normal(0, np.sqrt(np.mean(speech**2)) * 10 ** (-noise_db / 20), len(audio))
    return np.clip(audio, -1, 1), voice


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wake_word")
    parser.add_argument("--out", type=Path, default=Path("voices"))
    parser.add_argument("--positives", type=int, default=60)
    parser.add_argument("--others", type=int, default=120)
    parser.add_argument("--noise", type=float, help="white noise so many dB below the speech")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if shutil.which("espeak-ng") is None:
        raise SystemExit("espeak-ng is not installed: apt install espeak-ng")
    random = np.random.default_rng(options.seed)
    others = [text for text in OTHERS if text != options.wake_word.lower()]
    texts = [options.wake_word.lower()] * options.positives
    texts += [others[i % len(others)] for i in range(options.others)]
    options.out.mkdir(parents=True, exist_ok=True)
    rows = ["file\ttext\tspeaker"]
    for number, text in enumerate(texts):
        audio, voice = recording(text, random, options.noise)
        soundfile.write(options.out / f"{number:04d}.wav", audio, RATE_HZ, subtype="PCM_16")
        rows.append(f"{number:04d}.wav\t{text}\t{voice}")
    (options.out / "recordings.tsv").write_text("\n".join(rows) + "\n")
    print(f"{options.positives} times '{options.wake_word}' and {options.others} other phrases in {options.out}")


if __name__ == "__main__":
    main()
