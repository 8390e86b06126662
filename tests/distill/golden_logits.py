#!/usr/bin/env python3
"""Golden values of the methods on logits, labels and peers: golden_methods.py continued, in plain Python."""
from math import exp, log, sqrt

from golden_methods import LABEL, STUDENT, TEACHER, ce, kl, mean, show, softmax, tempered_kl

OTHER = [[-0.3, 0.8, 1.1, -0.9], [0.2, 0.7, -1.4, 0.6], [1.3, -0.5, 0.4, 0.1]]
PEER = [TEACHER[0], OTHER[1], TEACHER[2]]
ROUND = OTHER[:2] + [[-1.3, 0.5, 0.4, 0.1]]
HEADS = [STUDENT, [[0.1, 0.6, -0.3, 0.2], [-0.5, 0.4, 0.9, 0.7], [0.8, -0.2, 0.1, 0.3]]]
STAGES = [HEADS[1], [[1.1, -0.6, 0.4, 0.5], [0.2, 0.3, -0.9, 0.6], [-0.7, 1.2, 0.5, -0.1]]]
EXITS = [[TEACHER[0], TEACHER[1]], [[-0.4, 0.9, 0.8, -1.2], [-1.0, 1.7, 0.2, 0.5]]]
EXIT_FEATURES = [[[0.5, -1.0, 0.25], [2.0, 0.0, -0.5]], [[1.5, 0.0, 0.75], [-1.0, 0.5, 0.25]]]
FEATURES = [[0.0, -0.5, 1.0], [1.0, 0.5, 0.5]]
JOINT = [  # by view, sample: logits over y * 4 + view
    [[0.1, -0.2, 0.3, 0.4, -0.5, 0.6, 0.7, -0.8], [0.9, -0.1, 0.2, -0.3, 0.4, 0.5, -0.6, 0.7]],
    [[-0.4, 0.5, 0.6, -0.7, 0.8, 0.9, -1.0, 0.2], [0.3, 0.1, -0.5, 0.2, 0.6, -0.9, 0.4, 0.8]],
    [[0.2, 0.7, -0.1, 0.5, -0.3, 0.4, 0.9, -0.6], [-0.8, 0.3, 0.6, 0.1, 0.2, -0.4, 0.5, 0.7]],
    [[0.6, -0.3, 0.8, 0.2, 0.1, -0.5, 0.4, 0.9], [0.7, 0.2, -0.4, 0.5, -0.6, 0.3, 0.8, -0.1]],
]


def hard(z, y):
    return -log(softmax(z)[y])


def cross(p, z, T=1.0):
    return -sum(a * log(b) for a, b in zip(p, softmax(z, T)))


def onehot(y, n=4):
    return [1.0 if c == y else 0.0 for c in range(n)]


def sigma(x):
    return 1 / (1 + exp(-x))


def plackett_luce(s, t, y, T):
    order = [y] + sorted((c for c in range(len(t)) if c != y), key=lambda c: -t[c])
    weight = softmax(t, T)
    return sum(weight[c] * (log(sum(exp(s[l]) for l in order[k:])) - s[c]) for k, c in enumerate(order))


def ofa(s, t, y, eps):
    p = softmax(t)
    return cross([(p[c] + (c == y)) ** eps - (c == y) for c in range(len(p))], s)


def right(z, y):
    return max(range(len(z)), key=lambda c: z[c]) == y


def worst_group():
    groups = {}
    for s, t, y in zip(STUDENT, TEACHER, LABEL):
        groups.setdefault(right(t, y), []).append(hard(s, y))
    return max(mean(g) for g in groups.values())


def chosen():
    agree, differ = [], []
    for i, y in enumerate(LABEL):
        rounds = [TEACHER[i], ROUND[i]]
        loss = sum(hard(h[i], max(range(4), key=lambda c: r[c])) for h, r in zip(HEADS, rounds))
        (agree if len({right(r, y) for r in rounds}) == 1 else differ).append(loss)
    return 0.5 * mean(agree) + 0.5 * mean(differ)


def list_ce(s, t):
    q, score = [sigma(x) for x in t], [sigma(x) for x in s]
    return -sum(a * log(b / sum(score)) for a, b in zip(q, score)) / sum(q)


def main():
    triples = list(zip(STUDENT, TEACHER, LABEL))
    smooth = [[(1 - 0.1) * h + 0.1 / 4 for h in onehot(y)] for y in LABEL]
    show("label-smoothing", {"ce": mean([cross(q, z) for q, z in zip(smooth, STUDENT)])}, {"ce": 1})
    weighted = [(1 - exp(-hard(s, y) / (hard(t, y) + 1e-7))) * cross(softmax(t, 2), s, 2) for s, t, y in triples]
    show("wsld", {"ce": ce(), "kd": 4 * mean(weighted)}, {"ce": 1, "kd": 2.25})
    forward = tempered_kl(STUDENT, TEACHER, 1)
    show("ssld-network-distillation", {"kd": forward + tempered_kl(TEACHER, STUDENT, 1)}, {"kd": 0.5})
    show("plackett-luce-distillation", {"kd": mean([plackett_luce(s, t, y, 4) for s, t, y in triples])}, {"kd": 1})
    point = mean([-sum(sigma(b) * log(sigma(a)) + sigma(-b) * log(sigma(-a)) for a, b in zip(s, t))
                  for s, t, _ in triples])
    show("regression-compatible-ranking", {"point": point, "list": mean([list_ce(s, t) for s, t, _ in triples])},
         {"point": 0.5, "list": 0.5})
    show("dml", {"ce": ce(), "kd": forward}, {"ce": 1, "kd": 1})
    show("born-again", {"ce": ce(), "kd": forward}, {"ce": 1, "kd": 1})
    brier = mean([mean([(a - b) ** 2 for a, b in zip(softmax(s), softmax(t))]) for s, t, _ in triples])
    show("mean-teacher", {"ce": ce(), "consistency": brier}, {"ce": 1, "consistency": 10 * exp(-5 * 0.25)})
    a = 0.8 * 3 / 4
    soft = [cross([(1 - a) * h + a * p for h, p in zip(onehot(y), softmax(t))], s) for s, t, y in triples]
    show("ps-kd", {"soft": mean(soft)}, {"soft": 1})
    two, labels = [[0.3, -1.0], [1.5, 0.2]], [1, 0]
    views = mean([hard(JOINT[j][i], labels[i] * 4 + j) for i in range(2) for j in range(4)])
    voted = [[mean([JOINT[j][i][c * 4 + j] for j in range(4)]) for c in range(2)] for i in range(2)]
    show("self-supervised-label-augmentation",
         {"ce": mean([hard(z, y) for z, y in zip(two, labels)]), "sla": views, "sd": tempered_kl(two, voted, 1)},
         {"ce": 1, "sla": 1, "sd": 1})
    first = STUDENT[:2]
    hints = [sum((x - f) ** 2 for x, f in zip(e[i], FEATURES[i])) for e in EXIT_FEATURES for i in range(2)]
    show("byot", {"ce": mean([hard(z, y) for z, y in zip(first, LABEL)]),
                  "exit": sum(mean([hard(z, y) for z, y in zip(e, LABEL)]) for e in EXITS),
                  "kd": sum(tempered_kl(e, first, 3) for e in EXITS), "hint": sum(hints) / 2},
         {"ce": 1, "exit": 0.9, "kd": 0.1, "hint": 1e-6})
    stages = sum(mean([ofa(s, t, y, 1) for s, t, y in zip(e, TEACHER, LABEL)]) for e in STAGES)
    show("ofa-kd", {"ce": ce(), "kd": mean([ofa(s, t, y, 1) for s, t, y in triples]), "stages": stages},
         {"ce": 1, "kd": 1, "stages": 1})
    show("random-teacher", {"kd": mean([cross(softmax(t), s) for s, t, _ in triples])}, {"kd": 1})
    w = [0.6**2 / (0.6**2 + 0.3**2), 0.3**2 / (0.6**2 + 0.3**2)]
    committee = mean([cross([w[0] * p + w[1] * q for p, q in zip(softmax(t), softmax(o))], s)
                      for s, t, o in zip(STUDENT, TEACHER, OTHER)])
    show("distill-nearest-weighted", {"ce": ce(), "committee": committee}, {"ce": 0.3, "committee": 0.7})
    show("rich-feature-construction", {"dro": worst_group()}, {"dro": 1})
    show("rich-feature-construction", {"synthesis": chosen()}, {"synthesis": 1})
    pairs = list(zip(STUDENT, PEER, LABEL))
    peer = mean([hard(t, y) for _, t, y in pairs])
    to_student = mean([(hard(t, y) < hard(s, y)) * kl(softmax(t), softmax(s)) for s, t, y in pairs])
    to_peer = mean([(hard(s, y) < hard(t, y)) * kl(softmax(s), softmax(t)) for s, t, y in pairs])
    show("cnn-vit-collaboration", {"ce": ce(), "ce_peer": peer, "kd": to_student, "kd_peer": to_peer},
         {"ce": 1, "ce_peer": 1, "kd": 1, "kd_peer": 1})

    meal()
    prototypes()
    leap()
    con = squares([[0.5 + 0.1, -1.0 + 0.4], [1.2 - 0.3, 0.3 + 0.2]], [[0.7 - 0.2, -0.6 + 0.1], [0.9 + 0.6, 0.5 + 0.3]])
    show("nct", {"con": con, "bound": squares([[0.2, -0.1], [0.3, 0.5]], [[0, 0], [0, 0]])}, {"con": 1, "bound": 0})


def meal():
    ensemble = [[(p + q) / 2 for p, q in zip(softmax(t), softmax(o))] for t, o in zip(TEACHER, OTHER)]
    d_student = [[0.0, 0.7], [1.2, 0.0], [0.4, 0.3]]
    d_teachers = [[0.5, 0.0], [0.0, 0.0], [0.2, 1.1]]
    bce = [-log(sigma(z)) if yes else -log(sigma(-z)) for rows, answer in ((d_student, (1, 0)), (d_teachers, (0, 1)))
           for row in rows for z, yes in zip(row, answer)]
    show("meal-v2", {"soft": mean([cross(p, s) for p, s in zip(ensemble, STUDENT)]), "disc": mean(bce)},
         {"soft": 1, "disc": 1})


def squares(a, b):
    return mean([mean([(x - y) ** 2 for x, y in zip(u, v)]) for u, v in zip(a, b)])


def prototypes():
    found, enriched = EXIT_FEATURES[0], [[0.1, 0.6, -0.3], [-0.5, 0.4, 0.9]]
    show("prototype-cross-task-kd",
         {"task": mean([hard(z, y) for z, y in zip(STUDENT[:2], LABEL)]), "prototypes": squares(found, FEATURES),
          "feature": squares(enriched, FEATURES)}, {"task": 1, "prototypes": 1, "feature": 1})


def cka(x, y):
    """1 - linear CKA of two lists of vectors."""
    def centred(v):
        means = [mean(c) for c in zip(*v)]
        return [[a - m for a, m in zip(row, means)] for row in v]

    def product(a, b):
        return sum(sum(p[i] * q[j] for p, q in zip(a, b)) ** 2 for i in range(len(a[0])) for j in range(len(b[0])))

    x, y = centred(x), centred(y)
    return 1 - product(x, y) / sqrt(product(x, x) * product(y, y))


def leap():
    student = [[[0.5, -1.0], [2.0, 0.0], [0.3, 0.8]], [[0.1, 0.6], [-0.5, 0.4], [0.9, -0.2]]]
    blocks = [[[[0.0, -0.5], [1.0, 0.5], [-0.3, 0.7]], [[0.2, 0.4], [-0.6, 1.1], [0.8, 0.5]]],
              [[[0.4, -0.1], [0.3, 0.9], [1.2, -0.8]], [[-0.7, 0.6], [0.5, 0.1], [-0.2, 0.3]]],
              [[[1.4, 0.2], [-0.3, 0.6], [0.7, 0.1]], [[0.9, -0.4], [0.8, 0.3], [-1.1, 0.5]]],
              [[[-0.6, 0.9], [0.2, -1.3], [0.5, 0.4]], [[0.1, 0.7], [-0.4, 0.8], [0.6, -0.9]]]]
    patches = [mean([(a - b) ** 2 for u, v in zip(s[1:], t[1:]) for a, b in zip(u, v)])
               for s, t in zip(student, blocks[0])]
    tokens = sum(student, [])
    terms = {"patches": mean(patches), "class": squares([s[0] for s in student], [t[0] for t in blocks[0]])}
    for k, block in enumerate(blocks):
        terms[f"cka{k + 1}"] = cka(tokens, sum(block, []))
    show("leap", terms, {"patches": 1, "class": 0.05, "cka1": 0, "cka2": 0, "cka3": 0, "cka4": 0})


if __name__ == "__main__":
    main()
