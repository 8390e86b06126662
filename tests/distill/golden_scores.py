#!/usr/bin/env python3
"""Golden values of the checks of score distillation methods, from their papers' formulas in plain Python.

Prints, for each method, what stands under `terms`, `total` and `pull` in distill/methods/SLUG.yaml. A direction g has
the value sum(g^2) / 2 and the gradient g, both over the batch of two samples.
"""
from math import sqrt

T = [100, 500]
NOISE = [[.3, -.7], [-1.1, .4]]
TEXT = [[.9, -.2], [.4, 1.3]]  # teacher(prompt) at z
NULL = [[.5, .1], [-.3, .8]]  # teacher(null) at z
NEGATIVE = [[-.6, .2], [.7, -.1]]
TRACKER = [[.2, -.5], [-.9, .6]]
BLIND = [[-.1, .3], [.5, -.4]]  # tracker(null) at z
OTHER = [[.35, -.45], [.15, .95]]  # teacher at the second state
OTHER_NULL = [[.25, .65], [-.55, .05]]  # teacher(null) there


def levels(t):
    """alpha and sigma of the linear discrete process."""
    product = 1.0
    for j in range(t + 1):
        product *= 1 - (1e-4 + (.02 - 1e-4) * j / 999)
    return sqrt(product), sqrt(1 - product)


def combine(*summands):
    """sum of c * tensor; a c may be a list of one number a sample."""
    total = [[0.0, 0.0], [0.0, 0.0]]
    for c, tensor in summands:
        for i in range(2):
            for j in range(2):
                total[i][j] += (c[i] if isinstance(c, list) else c) * tensor[i][j]
    return total


def guided(s, text=TEXT, null=NULL):
    return combine((1 - s, null), (s, text))


def weighted(g, weight):
    w = [weight(*levels(t)) for t in T]
    return [[w[i] * e for e in row] for i, row in enumerate(g)]


def sigma2(_, sigma):
    return sigma * sigma


def sigma_alpha(alpha, sigma):
    return sigma / alpha


def clamp(g, c):
    return [[min(max(e, -c), c) for e in row] for row in g]


def clip(g, c):
    return [[e * min(1, c / sqrt(sum(x * x for x in row))) for e in row] for row in g]


def show(method, g, share=1.0, elements=1):
    value = sum(e * e for row in g for e in row) / 2 / 2 / elements
    flat = [e for row in g for e in row]
    pull = share * sum((i + 1) * e for i, e in enumerate(flat)) / 2 / elements
    print(f"{method}\n    terms: {{push: {value:.12g}}}\n    total: {share * value:.12g}\n    pull: {pull:.12g}")


def squares(a, b):
    """mean over the batch of each sample's summed squares."""
    return sum((x - y) ** 2 for p, q in zip(a, b) for x, y in zip(p, q)) / 2


def main():
    show("sds", weighted(combine((1, guided(100)), (-1, NOISE)), sigma2))
    show("csd, step 2500", weighted(combine((1, TEXT), (-.875, NEGATIVE), (-.125, NULL)), sigma2))
    branch = combine((1, NULL), ([0 if t < 200 else -1 for t in T], NEGATIVE))
    show("nfsd", weighted(combine((1, branch), (7.5, TEXT), (-7.5, NULL)), sigma2))
    show("vsd", weighted(combine((1, guided(7.5)), (-1, TRACKER)), sigma2))
    print(f"vsd, tracker: dsm {squares(TRACKER, NOISE):.12g}")
    show("esd", weighted(combine((1, guided(7.5)), (-.5, BLIND), (-.5, TRACKER)), sigma2))
    dsm, repel = squares(TRACKER, NOISE), squares(TRACKER, TEXT)
    print(f"adversarial-sd, tracker: dsm {dsm:.12g} repel {repel:.12g} total {dsm - .75 * repel:.12g}")
    show("ism", weighted(combine((1, guided(7.5)), (-1, OTHER_NULL)), sigma_alpha), .1)
    wide = combine((4, TEXT), (-4, NULL), (2, NULL), (-2, OTHER_NULL))
    show("uds", weighted(wide, sigma_alpha), .1)
    show("tsm", clip(weighted(combine((1, guided(7.5)), (-1, OTHER_NULL)), sigma_alpha), .5), .1)
    show("swiftbrush", weighted(combine((1, guided(4.5)), (-1, guided(4.5, TRACKER, BLIND))), sigma2), 1, 2)
    print(f"swiftbrush, tracker: dsm {tracker_loss():.12g}")
    show("dds", combine((1, guided(7.5)), (-1, guided(7.5, OTHER, OTHER_NULL))))
    show("cds, step 500 of 1000", clamp(combine((1, guided(76)), (-1, guided(76, OTHER, OTHER_NULL))), 5))
    show("asd-async", weighted(combine((1, guided(7.5)), (-1, OTHER)), sigma2))
    show("d-sds, step 500", clamp(weighted(combine((1, guided(100)), (-1, NOISE)), sigma2), 5))
    text, null = [[.48, .45], [-.3, .75]], [[.5, .4], [-.3, .8]]
    show("placid-bsd", weighted(min_norm(combine((15, text), (-15, null)), null), lambda alpha, _: alpha))
    show("ssd-3d, below 300", weighted(steady(300), sigma2))
    guidance = weighted(combine((3, TEXT), (-3, NULL)), sigma2)
    show("lmc-sds, push", guidance)
    correct = weighted(combine((1, OTHER), (-1, NULL)), lambda _, sigma: sigma)
    value, push = squares(correct, [[0, 0], [0, 0]]), squares(guidance, [[0, 0], [0, 0]]) / 2
    print(f"lmc-sds: fit {squares(OTHER, NULL):.12g} correct {value:.12g} total {push + value:.12g}")
    show("dsd-diverse", weighted(combine((1, guided(7.5)), (-1, OTHER)), sigma2))


def inner(a, b):
    return sum(x * y for x, y in zip(a, b))


def min_norm(u, v):
    out = []
    for a, b in zip(u, v):
        apart = [y - x for x, y in zip(a, b)]
        share = min(max(inner(apart, b) / inner(apart, apart), 0), 1)
        out.append([share * x + (1 - share) * y for x, y in zip(a, b)])
    return out


def steady(below):
    out = []
    for t, text, null, n in zip(T, TEXT, NULL, NOISE):
        h = [a - b for a, b in zip(text, null)]
        kappa = inner(text, n) / inner(n, n)
        seeking = [a - kappa * b for a, b in zip(text, n)]
        ratio = sqrt(inner(h, h) / inner(seeking, seeking))
        out.append(h if t > below else [ratio * e for e in seeking])
    return out


def tracker_loss():
    """alpha^2 (tracker - noise)^2, averaged over elements."""
    total = 0.0
    for i, t in enumerate(T):
        total += levels(t)[0] ** 2 * sum((a - b) ** 2 for a, b in zip(TRACKER[i], NOISE[i]))
    return total / 4


if __name__ == "__main__":
    main()
