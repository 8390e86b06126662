#!/usr/bin/env python3
"""Golden values of the checks of adversarial and distribution-matching methods, from their papers' formulas in plain
Python (no tensors).

Prints `METHOD.NAME value` for what stands in distill/methods/METHOD.yaml.
"""
from math import exp, log, log1p, sqrt

from golden_generators import TEACHER, TIMES, TRACKER, X, gap, mean, pull, square, vp

NULL = [[0.5, -0.2], [0.3, 0.1]]
LOGIT = [[0.3], [-0.7]]
SLOPE = [[0.4, -0.2], [1.1, 0.3]]


def softplus(x):
    return max(x, 0.0) + log1p(exp(-abs(x)))


def flat(table):
    return [v for row in table for v in row]


def per_sample(table, f):
    return sum(f(v) for v in flat(table)) / len(table)


def guided(null, cond, k):
    return [[a + k * (b - a) for a, b in zip(p, q)] for p, q in zip(null, cond)]


def directions(plus, minus, x, floor=0.0, h=(1, 1), normal=None):
    """h (plus - minus) / mean |x - normal|, by sample."""
    normal = minus if normal is None else normal
    result = []
    for f, r, v, e, weight in zip(plus, minus, x, normal, h):
        n = max(mean([abs(d) for d in gap(v, e)]), floor)
        result.append([weight * d / n for d in gap(f, r)])
    return result


def push(g):
    """Value and gradient in x of the mean over all elements."""
    elements = len(flat(g))
    return sum(v * v for v in flat(g)) / 2 / elements, [[v / elements for v in row] for row in g]


def show(method, **values):
    for name, value in values.items():
        print(f"{method}.{name} {value:.12g}")


def add_up(*scaled):
    """Sum of (weight, gradient)."""
    return [[sum(w * g[i][j] for w, g in scaled) for j in range(2)] for i in range(2)]


def dmd2():
    value, g = push(directions(TRACKER, guided(NULL, TEACHER, 8), X))
    gan = per_sample(LOGIT, lambda v: softplus(-v))
    show("dmd2", A1=value, A2=gan, A3=value + 5e-3 * gan, A4=pull(g))
    prediction, noise = [[0.2, -0.5], [-0.9, 0.6]], [[0.3, -0.7], [-1.1, 0.4]]
    dsm = mean([square(gap(a, b)) / 2 for a, b in zip(prediction, noise)])
    fake, real = per_sample(LOGIT, softplus), gan
    show("dmd2", B1=dsm, B2=fake, B3=real, B4=dsm + 0.01 * (fake + real))
    ratio = [min(max(exp(v), 0.1), 20) for v in flat(LOGIT)]
    h = [r / (1 + r) for r in ratio]
    value, g = push(directions(TRACKER, guided(NULL, TEACHER, 8), X, 1e-6, [v / mean(h) for v in h]))
    show("f-distill", A1=value, A2=gan, A3=value + 5e-3 * gan, A4=pull(g), B2=fake, B3=real, B4=fake + real)


def decoupled():
    null, cond = [[0.3, 0.1], [0.4, 0.4]], [[0.7, -0.2], [0.1, 0.9]]
    matched, g = push(directions(TRACKER, TEACHER, X))
    guidance, h = push(directions(null, cond, X, normal=cond))
    show("decoupled-dmd", A1=matched, A2=guidance, A3=matched + guidance, A4=pull(add_up((1, g), (1, h))))


def critics():
    fake, real = per_sample(LOGIT, softplus), per_sample(LOGIT, lambda v: softplus(-v))
    r1 = per_sample(SLOPE, lambda v: v * v / 2)
    show("diffusion-gan", A1=fake, A2=real, A3=r1, A4=fake + real + 0.1 * r1, B1=real)
    show("diffratio", A1=fake, A2=real, A4=fake + real, B1=per_sample(LOGIT, lambda v: -v))


def add():
    logits = [[0.3, -1.4], [-0.7, 0.2]]
    gan = per_sample(logits, lambda v: -v) / 2
    weights = [vp(t)[0] for t in TIMES]
    g = [[w * d for d in gap(x, r)] for x, r, w in zip(X, TEACHER, weights)]
    value, gradient = push(g)
    show("add", A1=gan, A2=value, A3=gan + 5 * value, A4=5 * pull(gradient))
    fake, real = (per_sample(logits, lambda v, s=s: max(1 + s * v, 0)) / 2 for s in (1, -1))
    r1 = per_sample(SLOPE, lambda v: v * v / 2)
    show("add", B1=fake, B2=real, B3=r1, B4=fake + real + 1e-5 * r1)


def drift_field(y, p, widths):
    """The unit of length and the summed field of Drifting Models at features y, references p."""
    targets = y + p
    apart = [[max(sqrt(square(gap(a, b))), 1e-4) for b in targets] for a in y]
    scale = mean(flat(apart))
    unit = scale / sqrt(len(y[0]))
    m = len(y)
    scaled = [[d / scale + (1e6 if i == j else 0) for j, d in enumerate(row)] for i, row in enumerate(apart)]
    field = [[0.0] * len(y[0]) for _ in y]
    for width in widths:
        kernel = [[exp(-d / width) for d in row] for row in scaled]
        columns = [sum(row[j] for row in kernel) for j in range(len(targets))]
        affinity = [[sqrt(max(k / sum(row) * k / c, 1e-6)) for k, c in zip(row, columns)] for row in kernel]
        f = []
        for row in affinity:
            repel, attract = sum(row[:m]), sum(row[m:])
            c = [-a * attract if j < m else a * repel for j, a in enumerate(row)]
            f.append([sum(w * t[k] / unit for w, t in zip(c, targets)) for k in range(len(y[0]))])
        rms = sqrt(mean([v * v for v in flat(f)]))
        field = [[a + b / rms for a, b in zip(p, q)] for p, q in zip(field, f)]
    return unit, field


def batches():
    y, p = [[0.5, -1.0], [1.2, 0.3], [-0.4, 0.2]], [[0.6, -0.3], [0.2, 0.5], [1.0, -0.8]]
    unit, field = drift_field(y, p, (0.02, 0.05, 0.2))
    n = len(flat(y))
    show("drifting", A1=mean([v * v for v in flat(field)]), A2=pull([[-2 * v / n / unit for v in row] for row in field]))
    a, b = [[0.5, -1.0, 0.2], [1.2, 0.3, 0.1]], [[0.1, 0.4, -0.3], [0.8, -0.2, 0.6]]
    distance = square([mean(p) - mean(q) for p, q in zip(zip(*a), zip(*b))])
    show("embedding-loss", A1=distance, A2=0.2725 + 0.1 * distance)


def identity(tracker, teacher, x, a, floor=1e-5):
    """Value per sample and gradient in x of the score identity with constant predictions."""
    value, gradient = 0.0, []
    for f, r, v in zip(tracker, teacher, x):
        n = max(mean([abs(d) for d in gap(v, r)]), floor)
        y = gap(f, r)
        value += sum(p * q + (1 - a) * p * p for p, q in zip(y, gap(v, f))) / n / len(x)
        gradient.append([p / n / len(x) for p in y])
    return value, gradient


def scores():
    null_tracker = [[0.3, -0.5], [0.9, 0.4]]
    value, g = identity(guided(null_tracker, TRACKER, 2), guided(NULL, TEACHER, 2), X, 1)
    limited = [[0.3, 10], [-0.7, 0.2]]
    gan = per_sample(limited, lambda v: softplus(-v)) / 2
    show("fewstep-sid", A1=value, A2=gan, A3=0.5 * value + 0.5 * gan, A4=0.5 * pull(g))
    value, g = identity(TRACKER, TEACHER, X, 1.2)
    other, h = identity(TRACKER, [[0.1, 0.3], [-0.2, 0.7]], X, 1.2)
    show("sfd", A1=other, A2=100 * value + other, A3=pull(add_up((100, g), (1, h))))


def expansion(h, rest):
    value, gradient = 0.0, []
    for f, r, x, l in zip(TRACKER, TEACHER, X, flat(LOGIT)):
        ratio, y = exp(l), gap(f, r)
        value += sum(2 * h(ratio) * p * q + rest(ratio) * p * p for p, q in zip(y, gap(x, f))) / 2
        gradient.append([h(ratio) * p for p in y])
    return value, gradient


def uni_instruct():
    gan = per_sample(LOGIT, lambda v: softplus(-v))
    reverse, g = expansion(lambda r: 1, lambda r: 1)
    forward, h = expansion(lambda r: r, lambda r: 0)
    show("uni-instruct", A1=reverse, A2=gan, A3=100 * reverse + 0.01 * gan, A4=100 * pull(g))
    show("uni-instruct", B1=forward, B3=100 * forward + 0.01 * gan, B4=100 * pull(h))


def rdm():
    x = X + [[0.1, 0.2], [-0.4, 0.6]]
    tracker, teacher = TRACKER + [[0.2, 0.1], [-0.3, 0.9]], TEACHER + [[0.3, 0.7], [-0.1, 0.2]]
    target = guided(NULL + [[0.2, 0.6], [-0.2, 0.3]], teacher, 8)
    n = mean([abs(v) for a, b in zip(x, target) for v in gap(a, b)])
    value, g = push([[v / n for v in gap(f, r)] for f, r in zip(tracker, target)])
    gan = per_sample([[0.3], [-0.7], [0.1], [0.4]], lambda v: softplus(-v))
    reward = -mean([0.5, -0.2, 0.3, 0.9])
    show("rdm", A1=value, A2=gan, A3=reward, A4=value + 5e-3 * gan, A5=pull(g))


def trajectories():
    value, gradient, c = 0.0, [], 1e-3
    target = guided(NULL, TEACHER, 4.5)
    for f, r, x in zip(TRACKER, target, X):
        n, g = mean([abs(v) for v in gap(x, r)]), gap(f, r)
        value += sum(sqrt(v * v + c * c) - c for v in g) / n / 4
        gradient.append([v / sqrt(v * v + c * c) / n / 4 for v in g])
    show("tdm", A1=value, A2=pull(gradient))
    snr = [vp(t)[0] ** 2 / vp(t)[1] ** 2 for t in TIMES]
    dsm = [min(s, 5) * w * square(gap(f, x)) / 2 for s, w, f, x in zip(snr, (0.8, 1.3), TRACKER, X)]
    show("tdm", B1=mean(dsm))
    null, cond = [[0.3, 0.1], [0.4, 0.4]], [[0.51, -0.98], [0.1, 0.9]]
    matched, g = push(directions(TRACKER, TEACHER, X, 0.1))
    guidance, h = push(directions(null, cond, X, 0.1, normal=cond))
    show("cdm", A1=matched, A2=guidance, A3=4 * matched + 14 * guidance, A4=pull(add_up((4, g), (14, h))))


def rewards():
    hq = [[0.4, -0.9], [1.0, 0.5]]
    value, g = push(directions(TRACKER, TEACHER, X))
    rec = mean([square(gap(a, b)) / 2 for a, b in zip(X, hq)])
    by_x = [[v / 2 for v in gap(a, b)] for a, b in zip(X, hq)]
    show("instarevive", A1=value, A2=rec, A3=value + 0.1 * rec, A4=pull(add_up((1, g), (0.1, by_x))))
    near, reward = per_sample(X, lambda v: v * v / 2), -mean([0.4, -0.9])
    show("hypernoise", A1=near, A2=reward, A3=near + reward)
    teacher, tracker = [[0.9, -0.2], [0.4, 1.3]], [[0.2, -0.5], [-0.9, 0.6]]
    sigma2 = [vp(t)[1] ** 2 for t in TIMES]
    g = [[s * v for v in gap(r, f)] for s, r, f in zip(sigma2, teacher, tracker)]
    score = mean([square(row) / 2 for row in g])
    gap_to_average = mean([square(gap(a, b)) for a, b in zip([[0.3, 0.1], [0.4, 0.4]], [[0.7, -0.2], [0.1, 0.9]])])
    taste = -mean([0.3, -0.7])
    show("dollar", A1=score, A2=gap_to_average, A3=taste, A4=score + gap_to_average + 0.05 * taste, A5=pull(g) / 2)
    show("dollar", B1=mean([(0.3 - 0.5) ** 2, (-0.7 - 0.2) ** 2]))


def features():
    first, second = [[0.1, 0.4], [-0.3, 0.2]], [[0.7, -0.6], [0.9, 0.5]]
    output = mean([v * v for v in gap(X[0], first[0]) + gap(X[1], second[1])])
    pairs = [
        ([0.2, 0.1, 0.6, 0.3], [0.5, 0.5, 0.4, 0.8]),
        ([0.4, -0.8, 1.0, 0.1], [-0.2, 0.1, 0.5, 0.6]),
        ([0.1, 0.3, -0.4, 0.6], [0.3, 0.7, -0.6, 0.4]),
    ]
    hidden = sum(mean([v * v for v in gap(a, b)]) * 0.333333333333 for a, b in pairs)
    show("dmm", A1=output, A2=hidden, A3=output + 0.002 * hidden)
    show("self-perceptual", A1=mean([v * v for v in flat([gap(a, b) for a, b in zip(X, first)])]))
    ys = [
        ([[0.5, -1.0], [1.2, 0.3], [-0.4, 0.2]], [[0.6, -0.3], [0.2, 0.5], [1.0, -0.8]]),
        ([[0.2, 0.1], [0.6, 0.3], [0.4, -0.8]], [[-0.1, 0.2], [0.4, 0.8], [0.3, 0.7]]),
        ([[0.1, 0.3], [-0.4, 0.6], [0.9, 0.1]], [[0.5, 0.6], [0.2, -0.3], [-0.6, 0.4]]),
    ]
    drift = sum(mean([v * v for v in flat(drift_field(y, p, (0.02, 0.05, 0.2))[1])]) for y, p in ys)
    made, anchors = ys[0][0], [[0.6, -0.3], [2.2, 1.5], [1.0, -0.8]]
    near = [[sqrt(square(gap(a, y))) for y in made] for a in anchors]
    h = sorted(flat(near))[4]
    share = [mean([exp(-d / h) for d in row]) for row in near]
    among = [sum(exp(-sqrt(square(gap(a, b))) / 2 / h) for b in anchors if b is not a) / 2 for a in anchors]
    coverage = mean([max(0.5 * s - c, 0) for s, c in zip(among, share)])
    show("tfd", A1=drift, A2=coverage, A3=drift + 0.1 * coverage)


def relatives():
    hq = [[0.4, -0.9], [1.0, 0.5]]
    matched, g = push(directions(TRACKER, TEACHER, X))
    pair = mean([square(gap(a, b)) / 2 for a, b in zip(X, hq)])
    by_x = [[v / 2 for v in gap(a, b)] for a, b in zip(X, hq)]
    show("one-step-dmd", A1=matched, A2=pair, A3=matched + 0.25 * pair, A4=pull(add_up((1, g), (0.25, by_x))))
    show("msd", A1=matched, A2=pull(g), B1=push(directions([[0.2, -0.5], [-0.9, 0.6]], TEACHER, X))[0])
    teacher, tracker = guided(NULL, TEACHER, 7.5), guided([[0.3, -0.5], [0.9, 0.4]], TRACKER, 7.5)
    target = guided([[0.3, 0.1], [0.4, 0.4]], [[0.7, -0.2], [0.1, 0.9]], 7.5)
    weights = [vp(t)[1] ** 2 for t in TIMES]
    g = [[w * (a - 0.7 * b - 0.3 * c) for a, b, c in zip(*rows)] for w, *rows in zip(weights, teacher, tracker, target)]
    score, by_score = push(g)
    show("tsd-sr", A1=score, A2=pair, A3=score + pair, A4=pull(add_up((1, by_score), (1, by_x))))


def main():
    relatives()
    batches()
    scores()
    uni_instruct()
    rdm()
    trajectories()
    rewards()
    features()
    dmd2()
    decoupled()
    critics()
    add()


if __name__ == "__main__":
    main()
