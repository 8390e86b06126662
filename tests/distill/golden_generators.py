#!/usr/bin/env python3
"""Golden values of the checks of diffusion methods, from their papers' formulas in plain Python (no tensors).

Prints, for each method, what stands under `terms`, `total` and `pull` in distill/methods/SLUG.yaml.
"""
from math import sqrt

X = [[0.5, -1.0], [1.2, 0.3]]
Z = [[0.3, -1.1], [0.9, 0.6]]
TRACKER = [[0.4, -0.8], [1.0, 0.1]]
TEACHER = [[0.6, -0.3], [0.2, 0.5]]
TIMES = [100, 500]


def mean(v):
    return sum(v) / len(v)


def gap(a, b):
    return [p - q for p, q in zip(a, b)]


def square(v):
    return sum(p * p for p in v)


def vp(t):
    """alpha and sigma of 1000 linear betas from 1e-4 to .02."""
    product = 1.0
    for j in range(t + 1):
        product *= 1 - (1e-4 + (0.02 - 1e-4) * j / 999)
    return sqrt(product), sqrt(1 - product)


def pull(gradient):
    return sum((i + 1) * g for i, g in enumerate(g for row in gradient for g in row))


def regressions():
    student, target, data = [[0.5, -1.0], [1.2, 0.3]], [[-0.4, 1.6], [0.3, -0.1]], [[0.2, -0.4], [1.0, 0.7]]
    sigma = [0.5, 2.0]
    print("dsm", mean([s * s * square(gap(a, b)) for a, b, s in zip(student, target, sigma)]))
    edm = [(s * s + 0.25) / (s * 0.5) ** 2 * square(gap(a, b)) for a, b, s in zip(student, data, sigma)]
    print("edm", mean(edm))
    print("flow-matching", mean([square(gap(a, b)) for a, b in zip(student, target)]))


def sim(c):
    value, gradient = [], []
    for x, z, f, r, t in zip(X, Z, TRACKER, TEACHER, TIMES):
        a, s = vp(t)
        y = gap(f, r)  # signals are given in the term's space: scores
        slope = [p / sqrt(square(y) + c * c) for p in y]
        noise = [-(q - a * p) / s for p, q in zip(x, z)]  # minus the noise that made z of x
        value.append(sum(p * (n / s - q) for p, n, q in zip(slope, noise, f)))
        gradient.append([p * a / s**2 / 2 for p in slope])
    print("sim", mean(value), "pull", pull(gradient))


def main():
    regressions()
    sim(0.5)


if __name__ == "__main__":
    main()
