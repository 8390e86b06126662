#!/usr/bin/env python3
"""Golden values of the checks of score distillation that couples particles, draws or states, and of maps of points.

Prints, for each method, what stands under `terms`, `total` and `pull` in distill/methods/SLUG.yaml, from the paper's
formula in plain Python.
"""
from math import exp, log, sqrt

from golden_scores import NEGATIVE, NOISE, NULL, OTHER_NULL, T, TEXT, TRACKER, combine, guided, levels, show, sigma2, \
    squares, weighted

X = [[.1, .2], [-.3, .4]]
HERE, THERE = [[.6, -.3], [.2, .5]], [[-.4, .7], [.3, -1.1]]  # two states


def editing():
    growth = [exp(t / 1000) * .075 for t in T]
    show("ssd-edit", combine((1, TRACKER), (-1, OTHER_NULL), (3.75, TEXT), (-3.75, TRACKER), (5.5, TEXT), (-5.5, NULL),
                             (growth, HERE), ([-g for g in growth], THERE)))


def mapping():
    """In eps: z_t cancels, so any one will do."""
    b, g = .75, []
    for x, made, mapped, t in zip(X, TEXT, TRACKER, T):
        alpha, sigma = levels(t)
        row = []
        for k in range(2):
            z, n = alpha * x[k] + sigma * .37, .37
            guess = (z - alpha * made[k]) / sigma
            baseline = b * (z - alpha * mapped[k]) / sigma + (1 - b) * n
            row.append(sigma * sigma * (guess - baseline))
        g.append(row)
    show("dreammapping", g)
    print(f"dreammapping, map: fit {squares(TRACKER, X):.12g}")


def consistency():
    alpha = [levels(t)[0] for t in T]
    clean = guided(7.5)
    show("gcs", combine((1, OTHER_NULL), (-1, clean), ([2 * a for a in alpha], HERE), ([-2 * a for a in alpha], THERE),
                        (1, NEGATIVE), (-1, clean)), .1)


def rewarded():
    draws = [(TEXT, NULL, NOISE, [.3, -.7]), ([[.35, -.45], [.15, .95]], OTHER_NULL, [[-.2, .6], [.8, -.5]], [.1, .4]),
             (TRACKER, [[-.1, .3], [.5, -.4]], [[1.2, .1], [.4, -.9]], [-.5, .2]),
             (NEGATIVE, HERE, THERE, [.8, -.1])]
    each = [combine((1, guided(100, text, null)), (-1, n)) for text, null, n, _ in draws]
    rewards = [[d[3][i] for d in draws] for i in range(2)]

    def by(weigh):
        weights = [weigh(r) for r in rewards]
        summands = [([weights[0][k], weights[1][k]], each[k]) for k in range(4)]
        return weighted(combine(*summands), sigma2)

    def minmax(r):
        order = sorted(range(4), key=lambda k: -r[k])
        return [.45 if k in order[:2] else -.05 for k in range(4)]

    def soft(r):
        e = [exp(v / .5) for v in r]
        return [v / sum(e) for v in e]

    show("rewardsds", by(minmax))
    show("rewardsds, best", by(lambda r: [float(v == max(r)) for v in r]))
    show("rewardsds, soft", by(soft))


def repulsion(slug, features, g, gamma=200, t=300):
    alpha, sigma = levels(t)
    n, value = len(features), 0.0
    for i, f in enumerate(features):
        apart = {j: sum((a - b) ** 2 for a, b in zip(f, features[j])) for j in range(n) if j != i}
        h = sorted(apart.values())[(n - 2) // 2] / (log(n - 1) if n > 2 else log(2))
        near = {j: exp(-d / h) for j, d in apart.items()}
        force = [sum(2 * near[j] * (f[k] - features[j][k]) / h for j in near) for k in range(len(f))]
        value -= sigma ** 4 / alpha * sum(a * b for a, b in zip(f, force)) / sum(near.values()) / n
    g = [[sigma * sigma * e for e in row] for row in g]
    push = sum(e * e for row in g for e in row) / 2 / n
    pull = sum((k + 1) * e for k, e in enumerate(e for row in g for e in row)) / n
    print(f"{slug}\n    terms: {{push: {push:.12g}, repel: {value:.12g}}}\n    total: {push + gamma * value:.12g}"
          f"\n    pull: {pull:.12g}")


def particles():
    text, null = TEXT + [[.2, -.5]], NULL + [[-.1, .3]]
    noise = NOISE + [[.8, .1]]
    g = [[b + 100 * (a - b) - n for a, b, n in zip(*rows)] for rows in zip(text, null, noise)]
    features = [[.5, -1.0, .2], [1.2, .3, .1], [-.4, .6, .9]]
    repulsion("rsd-repulsive", features, g)
    repulsion("rsd-repulsive, two", features[:2], g[:2])


STUDENT_POINTS = [[.5, -1.0, .2, 3], [1.2, .3, .1, 8], [-.4, .6, .9, 2], [.1, .7, -.3, 5]]
TEACHER_POINTS = [[.4, -.8, .3, 2], [1.0, .5, .2, 12], [-.2, .9, .7, 4], [.3, .4, -.6, .5]]


def in_own_unit(points, kept, groups):
    size, out = len(points) // groups, []
    for start in range(0, len(points), size):
        view = range(start, start + size)
        lengths = [sqrt(sum(v * v for v in points[k][:3])) for k in view if kept[k]]
        out += [[v / (sum(lengths) / len(lengths)) for v in points[k][:3]] for k in view]
    return out


def points_loss(groups, student, teacher):
    confidence = [p[3] for p in teacher]
    least = sorted(confidence)[int(.3 * len(confidence))]
    kept = [c >= least for c in confidence]
    total = 0.0
    for p, t, c, keep in zip(in_own_unit(student, kept, groups), in_own_unit(teacher, kept, groups), confidence, kept):
        total += keep * min(max(c / 10, .1), 1) * sum((a - b) ** 2 for a, b in zip(p, t))
    return total / sum(kept)


def points():
    everything, view = (points_loss(k, STUDENT_POINTS, TEACHER_POINTS) for k in (1, 2))
    confidence = sum(abs(p[3] - t[3]) for p, t in zip(STUDENT_POINTS, TEACHER_POINTS)) / 4
    total = 2 * everything + view + .001 * confidence
    print(f"distill3r\n    terms: {{all: {everything:.12g}, view: {view:.12g}, confidence: {confidence:.12g}}}"
          f"\n    total: {total:.12g}")


if __name__ == "__main__":
    editing()
    mapping()
    consistency()
    rewarded()
    particles()
    points()
