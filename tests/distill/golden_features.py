#!/usr/bin/env python3
"""Golden values of the feature methods' checks, from their papers' formulas in plain Python (math only, no tensors).

Prints, for each method, what stands under `given`, `terms` and `total` in distill/methods/SLUG.yaml.
"""
from itertools import product
from math import exp, log, sqrt

from golden_methods import LABEL, STUDENT, TEACHER, kl, mean, softmax, tempered_kl

# Embeddings of three samples, and maps [3 samples][2 channels][2 x 2].
ES = [[0.5, -1.0, 0.25], [2.0, 0.0, -0.5], [-0.3, 0.8, 1.1]]
ET = [[0.0, -0.5, 1.0], [1.0, 0.5, 0.5], [0.7, -1.2, 0.4]]
FS = [[[[0.5, -0.2], [1.0, 0.3]], [[-0.7, 0.4], [0.1, 0.9]]],
      [[[1.2, 0.0], [-0.4, 0.6]], [[0.3, 0.8], [-1.1, 0.2]]],
      [[[-0.5, 0.7], [0.2, 0.1]], [[0.6, -0.3], [0.5, 1.4]]]]
FT = [[[[0.1, 0.6], [-0.8, 0.2]], [[1.1, -0.5], [0.3, 0.7]]],
      [[[0.9, -0.1], [0.4, 0.5]], [[-0.2, 0.6], [0.8, -1.0]]],
      [[[0.3, 1.3], [-0.6, 0.4]], [[0.2, 0.9], [-0.4, 0.1]]]]
GS = [[[[0.2, 0.4], [-0.6, 0.8]], [[0.5, -0.3], [0.7, 0.1]]],
      [[[-0.9, 0.3], [0.2, 1.0]], [[0.4, 0.6], [-0.2, 0.5]]],
      [[[0.7, -0.4], [0.9, 0.2]], [[-0.1, 0.8], [0.3, -0.5]]]]
GT = [[[[1.0, -0.3], [0.5, 0.2]], [[-0.6, 0.4], [0.8, 0.3]]],
      [[[0.4, 0.7], [-0.2, 0.1]], [[0.9, -0.8], [0.6, 0.5]]],
      [[[-0.3, 0.2], [1.1, 0.6]], [[0.5, 0.1], [-0.7, 0.4]]]]
N = range(3)


def ce(logits=STUDENT, labels=LABEL):
    return mean([-log(softmax(z)[y]) for z, y in zip(logits, labels)])


def flat(channel):
    return [x for row in channel for x in row]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def unit(v):
    n = sqrt(dot(v, v))
    return [x / n for x in v]


def mse(a, b):
    return mean([(x - y) ** 2 for x, y in zip(a, b)])


def everything(x):
    return [y for part in x for y in everything(part)] if isinstance(x, list) else [x]


def attention(sample, p=2):
    return unit([mean([abs(flat(c)[i]) ** p for c in sample]) for i in range(4)])


def similarity(embeddings):
    return [unit([dot(a, b) for b in embeddings]) for a in embeddings]


def channel_gram(sample):
    return [unit([dot(flat(a), flat(b)) for b in sample]) for a in sample]


def distance(a, b):
    return sqrt(sum((x - y) ** 2 for x, y in zip(a, b)))


def relative_distances(e):
    d = [[distance(a, b) for b in e] for a in e]
    positive = [x for row in d for x in row if x > 0]
    return [[x / mean(positive) for x in row] for row in d]


def angles(e):
    def towards(i, j):
        v = [y - x for x, y in zip(e[i], e[j])]
        return unit(v) if i != j else v
    return [[[dot(towards(i, j), towards(i, k)) for k in N] for j in N] for i in N]


def smooth_l1(a, b, beta=1.0):
    d = [abs(x - y) for x, y in zip(everything(a), everything(b))]
    return mean([x * x / (2 * beta) if x < beta else x - beta / 2 for x in d])


def cosine_share(e):
    rows = []
    for a in e:
        row = [(dot(a, b) / (sqrt(dot(a, a)) + 1e-7) / (sqrt(dot(b, b)) + 1e-7) + 1) / 2 for b in e]
        rows.append([x / sum(row) for x in row])
    return rows


def rbf(e, gamma=0.4):
    u = [unit(v) for v in e]
    return [[exp(-2 * gamma) * (1 + 2 * gamma * dot(a, b) + (2 * gamma * dot(a, b)) ** 2 / 2) for b in u] for a in u]


def centred(e):
    means = [mean([v[k] for v in e]) for k in range(3)]
    return [[v[k] - means[k] for k in range(3)] for v in e]


def cka(a, b):
    """By features: |X'Y|^2 / (|X'X| |Y'Y|)."""
    x, y = centred(a), centred(b)

    def cross(p, q):
        return sqrt(sum(sum(p[n][i] * q[n][j] for n in N) ** 2 for i, j in product(range(3), repeat=2)))
    return 1 - cross(x, y) ** 2 / (cross(x, x) * cross(y, y))


def covariance(e):
    x = centred(e)
    return [[sum(x[n][i] * x[n][j] for n in N) / 2 for j in range(3)] for i in range(3)]


def mmd(s, t):
    a, b = [unit(flat(c)) for c in s], [unit(flat(c)) for c in t]

    def kernel(p, q):
        return mean([dot(x, y) ** 2 for x in p for y in q])
    return kernel(a, a) + kernel(b, b) - 2 * kernel(a, b)


def flow(first, second):
    return [[mean([x * y for x, y in zip(flat(a), flat(b))]) for b in second] for a in first]


def gauss(mu, var, t):
    return mean([((m - x) ** 2 / v + log(v)) / 2 for m, v, x in zip(everything(mu), everything(var), everything(t))])


def ofd(s, t):
    """By cases of the paper, for a target that went through max(t, margin): below it nothing is asked when t <= 0."""
    total = 0
    for a, b in zip(everything(s), everything(t)):
        if b > 0 or a > b:
            total += (a - b) ** 2
    return total


def hcl(s, t):
    """Maps of 2 x 2: full size, and their means, with weights 1 and 1/2."""
    means = mse([mean(flat(c)) for c in s], [mean(flat(c)) for c in t])
    return (mse(everything(s), everything(t)) + means / 2) / 1.5


def nce(v, own, others, tau):
    k = 1 / tau
    z = (exp(k) - exp(-k)) / (2 * k)  # mean of exp(<v, b> / tau) over the sphere in three dimensions; n cancels

    def h(x):
        p = exp(x / tau) / z
        return p / (p + len(others))
    return -log(h(dot(v, own))) - sum(log(1 - h(dot(v, b))) for b in others)


def norm_and_direction(s, centre, t):
    return 1 - dot(s, unit(centre)) / max(sqrt(dot(s, s)), sqrt(dot(t, t)))


def acam(f, t, by_channel, by_position):
    d = [[a - b for a, b in zip(flat(x), flat(y))] for x, y in zip(t, f)]
    m, c, hw = len(by_channel), len(d), len(d[0])
    channels = sum(M[k] * sum((M[k] * d[k][p]) ** 2 for p in range(hw)) for M in by_channel for k in range(c))
    positions = sum(M[p] * sum((M[p] * d[k][p]) ** 2 for k in range(c)) for M in by_position for p in range(hw))
    return channels / (m * hw) + positions / (m * c)


def dice(masks):
    pairs = [(a, b) for i, a in enumerate(masks) for j, b in enumerate(masks) if i != j]
    return mean([2 * dot(a, b) / (dot(a, a) + dot(b, b)) for a, b in pairs])


def text(x):
    return "[" + ", ".join(text(y) for y in x) + "]" if isinstance(x, list) else f"{x:g}"


LOGITS = {"student": STUDENT, "label": LABEL}


def embeddings(at="features"):
    return dict(LOGITS, **{f"student.{at}": ES, f"teacher.{at}": ET})


def case(given, terms, weights):
    return {"given": given, "terms": terms, "total": sum(weights[k] * v for k, v in terms.items())}


def relation_cases():
    both = dict(LOGITS, **{"student.stages.0": FS, "teacher.stages.0": FT, "student.stages.1": GS,
                           "teacher.stages.1": GT})
    at = mean([mse(attention(FS[b]), attention(FT[b])) + mse(attention(GS[b]), attention(GT[b])) for b in N])
    yield "at", case(both, {"ce": ce(), "at": at}, {"ce": 1, "at": 1000})
    maps = dict(LOGITS, **{"student.stages.1": FS, "teacher.stages.1": FT})
    g, h = similarity([everything(x) for x in FS]), similarity([everything(x) for x in FT])
    yield "sp", case(maps, {"ce": ce(), "sp": mse(everything(g), everything(h))}, {"ce": 1, "sp": 3000})
    gram = sum((a - b) ** 2 for n in N for a, b in zip(everything(channel_gram(FS[n])), everything(channel_gram(FT[n]))))
    matched = dict(LOGITS, **{"student.matched": FS, "teacher.stages.1": FT})
    yield "ickd", case(matched, {"ce": ce(), "gram": gram / (3 * 2)}, {"ce": 1, "gram": 1})
    d, a = smooth_l1(relative_distances(ES), relative_distances(ET)), smooth_l1(angles(ES), angles(ET))
    yield "rkd", case(embeddings(), {"ce": ce(), "distance": d, "angle": a}, {"ce": 1, "distance": 25, "angle": 50})
    share = mean([t * log((t + 1e-7) / (s + 1e-7))
                  for s, t in zip(everything(cosine_share(ES)), everything(cosine_share(ET)))])
    yield "pkt", case(embeddings(), {"ce": ce(), "pkt": share}, {"ce": 1, "pkt": 30000})
    norm = sqrt(sum((x - y) ** 2 for x, y in zip(everything(rbf(ES)), everything(rbf(ET))))) / 9
    yield "cc", case(embeddings(), {"ce": ce(), "cc": norm}, {"ce": 1, "cc": 0.02})
    yield "cka", case(embeddings(), {"ce": ce(), "cka": cka(ES, ET)}, {"ce": 1, "cka": 1})
    gap = mse(everything(covariance(ES)), everything(covariance(ET)))
    wide = dict(LOGITS, **{"student.aligned": ES, "teacher.features": ET})
    yield "coral", case(wide, {"ce": ce(), "coral": gap}, {"ce": 1, "coral": 0.25})
    cos = mean([1 - dot(unit(s), unit(t)) for s, t in zip(ES, ET)])
    yield "pefd", case(wide, {"ce": ce(), "feature": cos}, {"ce": 1, "feature": 25})


def map_cases():
    maps = dict(LOGITS, **{"student.stages.1": FS, "teacher.stages.1": FT})
    yield "nst", case(maps, {"ce": ce(), "mmd": mean([mmd(FS[b], FT[b]) for b in N])}, {"ce": 1, "mmd": 50})
    flows = mean([mse(everything(flow(FS[b], GS[b])), everything(flow(FT[b], GT[b]))) for b in N])
    yield "fsp", case({"student.matched.0": FS, "student.matched.1": GS, "teacher.stages.0": FT,
                       "teacher.stages.1": GT}, {"flow": flows}, {"flow": 1})
    var = [[[[5.0, 5.0], [5.0, 5.0]], [[0.5, 0.5], [0.5, 0.5]]] for _ in N]
    yield "vid", case(dict(LOGITS, **{"student.density.0": FS, "student.density.1": var, "teacher.stages.1": FT}),
                      {"ce": ce(), "density": gauss(FS, var, FT)}, {"ce": 1, "density": 1})
    large = [[[[[k * x for x in row] for row in c] for c in sample] for sample in maps]
             for k, maps in ((-20, FS), (-20, GS), (-10, FT), (-10, GT))]
    names = ("student.before.0", "student.before.1", "teacher.margin0", "teacher.margin1")
    feature = (ofd(large[0], large[2]) / 2 + ofd(large[1], large[3])) / 3
    yield "ofd", case(dict(LOGITS, **dict(zip(names, large))), {"ce": ce(), "feature": feature},
                      {"ce": 1, "feature": 1e-3})
    pyramid = dict(LOGITS, **{"student.fused.0": FS, "student.fused.1": GS, "student.fused.2": ES,
                              "teacher.stages.0": FT, "teacher.stages.1": GT, "teacher.features": ET})
    levels = mean([hcl(FS[b], FT[b]) + hcl(GS[b], GT[b]) + mse(ES[b], ET[b]) for b in N])
    yield "reviewkd", dict(case(pyramid, {"ce": ce(), "review": levels}, {"ce": 1, "review": 0.5}), at="{epoch: 10}")
    squares = sum((a - b) ** 2 for a, b in zip(everything(FS), everything(FT))) / 3
    yield "mgd", case(dict(LOGITS, **{"student.generated": FS, "teacher.stages.1": FT}),
                      {"ce": ce(), "feature": squares}, {"ce": 1, "feature": 7e-5})
    yield "simkd", case({"student.reused.0": FS, "student.reused.1": STUDENT, "teacher.stages.1": FT},
                        {"feature": mse(everything(FS), everything(FT))}, {"feature": 1})


def rounded(rows):
    return [rounded(r) if isinstance(r, list) else float(f"{r:g}") for r in rows]


def bank_cases():
    own, v = rounded([unit(e) for e in ET]), rounded([unit(e) for e in ES])
    w = rounded([unit(e) for e in [[0.2, 0.4, -0.6], [-0.9, 0.3, 0.2], [0.7, -0.4, 0.9]]])
    others = rounded([[unit(e) for e in (ES[b], ET[b - 1], [1.0, 1.0, -2.0])] for b in N])
    given = dict(LOGITS, **{"student.own": v, "student.other": w, "teachers.0": own, "teachers.1": others,
                            "students.0": own, "students.1": others})
    terms = {"ce": ce(),
             "student": mean([nce(v[b], own[b], others[b], 0.07) for b in N]),
             "teacher": mean([nce(w[b], own[b], others[b], 0.07) for b in N])}
    yield "crd", case(given, terms, {"ce": 1, "student": 0.8, "teacher": 0.8})
    centres = [[0.4, -0.6, 0.2], [1.5, 0.3, 0.1], [0.1, -0.9, 0.8]]
    nd = mean([norm_and_direction(s, c, t) for s, c, t in zip(ES, centres, ET)])
    given = dict(LOGITS, **{"teacher": TEACHER, "student.aligned": ES, "means": centres, "teacher.features": ET})
    yield "norm-and-direction-kd", dict(
        case(given, {"ce": ce(), "kd": tempered_kl(STUDENT, TEACHER, 4), "nd": nd}, {"ce": 1, "kd": 0.5, "nd": 2}),
        at="{epoch: 10}")
    by_channel = [[[0.3, 0.8], [0.6, 0.1]], [[0.2, 0.5], [0.9, 0.4]], [[0.7, 0.7], [0.3, 0.2]]]
    by_position = [[[0.1, 0.4, 0.6, 0.9], [0.8, 0.2, 0.3, 0.5]], [[0.5, 0.5, 0.1, 0.2], [0.3, 0.6, 0.7, 0.4]],
                   [[0.9, 0.2, 0.4, 0.3], [0.6, 0.8, 0.1, 0.7]]]
    masks = mean([acam(FS[b], FT[b], by_channel[b], by_position[b]) for b in N])
    overlap = mean([dice(by_channel[b]) + dice(by_position[b]) for b in N])
    given = dict(LOGITS, **{"student.masks.0": FS, "student.masks.1": by_channel, "student.masks.2": by_position,
                            "teacher.stages.1": FT})
    yield "acam-kd", case(given, {"ce": ce(), "masked": masks, "diversity": overlap},
                          {"ce": 1, "masked": 1, "diversity": 1})


def all_cases():
    for group in (relation_cases, map_cases, bank_cases):
        yield from group()


def show(slug, c):
    print(slug)
    print("  - given:")
    for name, value in c["given"].items():
        print(f"      {name}: {text(value)}")
    for key in ("at", "phase"):
        if key in c:
            print(f"    {key}: {c[key]}")
    print("    terms: {" + ", ".join(f"{k}: {v:.12g}" for k, v in c["terms"].items()) + "}")
    print(f"    total: {c['total']:.12g}")


def main():
    for slug, c in all_cases():
        show(slug, c)


if __name__ == "__main__":
    main()
