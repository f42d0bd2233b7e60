"""Log-mel energies and MFCC by librosa and SciPy, of signals that the test makes again.

    pip install librosa
    python audio_features.py OUT.json
"""
import json
import sys

import librosa
import numpy as np
import scipy.fft

CASES = [
    dict(sampleRate=8000, frame=256, hop=128, fft=256, window="hann", bands=20, low=20, high=4000,
         scale="htk", norm="peak", offset=1e-6, coefficients=10),
    dict(sampleRate=16000, frame=400, hop=160, fft=512, window="hamming", bands=23, low=0, high=7600,
         scale="slaney", norm="area", offset=1e-9, coefficients=13),
    dict(sampleRate=16000, frame=480, hop=320, fft=512, window="hann", bands=16, low=100, high=8000,
         scale="slaney", norm="peak", offset=1e-3, coefficients=16),
]
SAMPLES = 1200


def signal(case):
    """Two tones and noise of whole numbers."""
    i = np.arange(SAMPLES)
    t = 2 * np.pi * i / case["sampleRate"]
    noise = ((i * 7919 + i * i * 31) % 2001 - 1000) / 1000
    return 0.4 * np.sin(440 * t) + 0.2 * np.sin(2500 * t) + 0.1 * noise


def features(case):
    x = signal(case)
    # librosa centres a window shorter than the transform; zeros before the signal put it at the frame's start.
    before = (case["fft"] - case["frame"]) // 2
    frames = (SAMPLES - case["frame"]) // case["hop"] + 1
    x = np.concatenate([np.zeros(before), x, np.zeros(case["fft"])])
    window = scipy.signal.get_window(case["window"], case["frame"])
    spectrum = librosa.stft(x, n_fft=case["fft"], hop_length=case["hop"], win_length=case["frame"],
                            window=window, center=False, dtype=np.complex128)[:, :frames]
    bank = librosa.filters.mel(sr=case["sampleRate"], n_fft=case["fft"], n_mels=case["bands"],
                               fmin=case["low"], fmax=case["high"], htk=case["scale"] == "htk",
                               norm="slaney" if case["norm"] == "area" else None, dtype=np.float64)
    log_mel = np.log(bank @ np.abs(spectrum) ** 2 + case["offset"]).T
    cepstrum = scipy.fft.dct(log_mel, type=2, norm="ortho", axis=1)[:, : case["coefficients"]]
    return log_mel, cepstrum


out = []
for case in CASES:
    log_mel, cepstrum = features(case)
    rounded = [np.round(v, 7).tolist() for v in (log_mel, cepstrum)]
    out.append({"options": case, "logMel": rounded[0], "mfcc": rounded[1]})
result = {"librosa": librosa.__version__, "samples": SAMPLES, "cases": out}
with open(sys.argv[1], "w") as file:
    json.dump(result, file)
    file.write("\n")
