"""How well does it recognise speech: values in, error rates with confidence intervals out.

A kind of score is one file: its keys in a workload and its judge, registered in `accelsim.score.score.SCORES`.
"""

from accelsim.score.classes import UtteranceClasses
from accelsim.score.ctc import CtcClasses, CtcWords
from accelsim.score.detections import Detections
from accelsim.score.error_rate import Accuracy, phoneme_error_rate, word_error_rate
from accelsim.score.frames import FrameClasses
from accelsim.score.outputs import OutputClasses
from accelsim.score.separation import ScaleInvariantRatio
from accelsim.score.viterbi import ViterbiPhonemes, best_phones

__all__ = [
    "Accuracy",
    "CtcClasses",
    "CtcWords",
    "Detections",
    "FrameClasses",
    "OutputClasses",
    "ScaleInvariantRatio",
    "UtteranceClasses",
    "ViterbiPhonemes",
    "best_phones",
    "phoneme_error_rate",
    "word_error_rate",
]
