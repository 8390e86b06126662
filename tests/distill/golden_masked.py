#!/usr/bin/env python3
"""Golden values of masked image modelling (dmae, dmjd) and fair latents, in plain Python. Prints terms and totals."""
from math import exp, sqrt

OUT = [[[.5, -1.], [.3, .2]], [[1.1, .4], [-.6, .7]]]
PIXELS = [[[.1, -.4], [.6, .5]], [[.9, .2], [-.3, .8]]]
HOG = [[[.1, -.4], [.6, .5]], [[.9, .2], [-3.3, .8]]]
UP = [[[.5, -1., .2], [.3, .2, .9]], [[1.1, .4, -.5], [-.6, .7, .1]]]
BLOCK = [[[.3, -.7, .4], [.6, .1, .5]], [[.8, .6, -.9], [-.2, .5, .3]]]
SEEN = [[[.5, .3], [2.9, -.2]], [[.1, 1.4], [.6, -.7]]]


def flat(t):
    return [v for sample in t for token in sample for v in token]


def unit(t):
    return [[[v / sqrt(sum(u * u for u in token)) for v in token] for token in sample] for sample in t]


def mean(values):
    return sum(values) / len(values)


def smooth(d, beta):
    return d * d / (2 * beta) if abs(d) < beta else abs(d) - beta / 2


pixels = mean([(a - b) ** 2 for a, b in zip(flat(OUT), flat(PIXELS))])
feature = mean([abs(a - b) for a, b in zip(flat(unit(UP)), flat(unit(BLOCK)))])
print("dmae", pixels, feature, pixels + feature)
hidden = mean([(a - b) ** 2 for a, b in zip(flat(OUT), flat(HOG))])
visible = mean([smooth(a - b, 2) for a, b in zip(flat(SEEN), flat(HOG))])
print("dmjd", hidden, visible, hidden + visible)

# -- fair latents: classes 0 and 1 against 2
Z = [[.5, -1.], [.3, .2], [1.1, .4]]
GROUP = [True, False, True]
w = [.5 if g else -1. for g in GROUP]
fair = sum(a * b * exp(-sum((p - q) ** 2 for p, q in zip(u, v)) / 2) for a, u in zip(w, Z) for b, v in zip(w, Z))
ZS = [[.1, .4], [.6, -.5], [-.9, .2]]
quality = mean([(a - b) ** 2 for u, v in zip(ZS, Z) for a, b in zip(u, v)])
print("fair", fair, quality, 1.86559675302 + .5 * fair, 1.86559675302 + quality)
