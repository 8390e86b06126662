#!/usr/bin/env python3
"""Golden values of the checks of samplers, from their papers' formulas in plain Python (no tensors).

Networks are mixtures of Gaussians on the discrete variance-preserving schedule. Prints what stands in
distill/methods/SLUG.yaml.
"""
from math import exp, log

NOISE = [[0.5, -1.0], [1.2, 0.3]]
FRESH = [[-0.4, 1.6], [0.3, -0.1]]


def vp(t):
    """alpha and sigma at an index; index -1 is clean."""
    total = sum(0.5 * log(1 - (1e-4 + (0.02 - 1e-4) * j / 999)) for j in range(t + 1))
    alpha = exp(total)
    return alpha, (1 - alpha * alpha) ** 0.5


class Mixture:
    def __init__(self, means, std):
        self.means, self.var = means, std * std

    def clean(self, x, t, label=None):
        """E[x0 | x_t = x]."""
        a, s = vp(t)
        spread = a * a * self.var + s * s
        chosen = self.means if label is None else [self.means[label]]
        power = [-sum((u - a * m) ** 2 for u, m in zip(x, mean)) / (2 * spread) for mean in chosen]
        weight = [exp(p - max(power)) for p in power]
        means = [[m + a * self.var / spread * (u - a * m) for u, m in zip(x, mean)] for mean in chosen]
        return [sum(w * m[i] for w, m in zip(weight, means)) / sum(weight) for i in range(len(x))]

    def guided(self, x, t, label, kappa):
        null, cond = self.clean(x, t), self.clean(x, t, label)
        return [n + kappa * (c - n) for n, c in zip(null, cond)]


def ddim(x, x0, t, s):
    (a, b), (c, d) = vp(t), vp(s)
    return [c * u + d * (v - a * u) / b for u, v in zip(x0, x)]


def renoised(x0, noise, s):
    a, b = vp(s)
    return [a * u + b * e for u, e in zip(x0, noise)]


def subset(n):
    return [1000 // n * (i + 1) - 1 for i in range(n)][::-1] + [-1]


def shown(samples):
    flat = [v for row in samples for v in row]
    return sum((i + 1) * v for i, v in enumerate(flat))


def mixed(k, kappa=7):
    base = Mixture([(-2, 0), (2, 0)], 1)
    student = Mixture([(-1, 0.5), (1, 0.5)], 0.7)
    fast, slow = subset(4), subset(20)
    begin = fast[k]
    stop = min(slow, key=lambda t: abs(t - begin))
    samples = []
    for label, noise in enumerate(NOISE):
        x, t = noise, None
        if stop != slow[0]:
            x, t = [vp(slow[0])[1] * e for e in noise], slow[0]
            for s in slow[1: slow.index(stop) + 1]:
                x, t = ddim(x, base.guided(x, t, label, kappa), t, s), s
        else:
            x, t = [vp(fast[0])[1] * e for e in noise], fast[0]
        for s in [s for s in fast[k + 1:] if s < t]:
            x, t = ddim(x, student.clean(x, t, label), t, s), s
        samples.append(x)
    return shown(samples)


def corrected(k, share):
    teacher, student = Mixture([(0.7, -0.3)], 1.14), Mixture([(-0.2, 0.1)], 0.8)
    times = subset(4)
    samples = []
    for noise, fresh in zip(NOISE, FRESH):
        x = [vp(times[0])[1] * e for e in noise]
        for i, (t, s) in enumerate(zip(times, times[1:])):
            x0 = student.clean(x, t)
            if i < k:
                other = teacher.clean(renoised(x0, fresh, s), s)
                x0 = [(1 - share) * u + share * v for u, v in zip(x0, other)]
            x = renoised(x0, fresh, s)
        samples.append(x)
    return shown(samples)


def main():
    for k in (0, 1, 4):
        print(f"diversity-distillation, k {k}: drawn {mixed(k):.12g}")
    for k, share in ((3, 0.5), (3, 1), (3, 0)):
        print(f"distillation++, k {k}, lambda {share}: drawn {corrected(k, share):.12g}")


if __name__ == "__main__":
    main()
