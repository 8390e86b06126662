#!/usr/bin/env python3
"""Golden values of the methods' checks, from their papers' formulas in plain Python (math only, no tensors).

Prints, for each method, the lines that stand under `terms` and `total` in distill/methods/SLUG.yaml.
"""
from math import exp, log, sqrt

STUDENT = [[0.3, -1.0, 0.5, 2.0], [1.5, 0.2, -0.7, 0.1], [-0.4, 0.9, 0.8, -1.2]]
TEACHER = [[1.2, 0.1, -0.4, 0.6], [0.9, -0.3, 0.4, -1.1], [-1.0, 1.7, 0.2, 0.5]]
LABEL = [0, 2, 1]
HINT = [[0.5, -1.0, 0.25], [2.0, 0.0, -0.5]]  # FitNet: student's regressed features
FEATURE = [[0.0, -0.5, 1.0], [1.0, 0.5, 0.5]]


def softmax(z, T=1.0):
    e = [exp((x - max(z)) / T) for x in z]
    return [x / sum(e) for x in e]


def mean(v):
    return sum(v) / len(v)


def kl(p, q):
    return sum(a * log(a / b) for a, b in zip(p, q))


def ce():
    return mean([-log(softmax(z)[y]) for z, y in zip(STUDENT, LABEL)])


def tempered_kl(student, teacher, T):
    return T * T * mean([kl(softmax(t, T), softmax(s, T)) for s, t in zip(student, teacher)])


def dkd(alpha, beta, T):
    values = []
    for s, t, y in zip(STUDENT, TEACHER, LABEL):
        p, q = softmax(t, T), softmax(s, T)
        target = kl([p[y], 1 - p[y]], [q[y], 1 - q[y]])
        rest = [c for c in range(4) if c != y]
        others = kl(softmax([t[c] for c in rest], T), softmax([s[c] for c in rest], T))
        values.append(alpha * target + beta * others)
    return T * T * mean(values)


def correlation(a, b):
    a, b = [x - mean(a) for x in a], [x - mean(b) for x in b]
    return sum(x * y for x, y in zip(a, b)) / (sqrt(sum(x * x for x in a) * sum(y * y for y in b)) + 1e-8)


def standardised(z):
    deviation = sqrt(sum((x - mean(z)) ** 2 for x in z) / (len(z) - 1))
    return [(x - mean(z)) / (deviation + 1e-7) for x in z]


def show(method, terms, weights):
    print(method)
    print("  terms: {" + ", ".join(f"{k}: {v:.12g}" for k, v in terms.items()) + "}")
    print(f"  total: {sum(weights[k] * v for k, v in terms.items()):.12g}")


def main():
    show("ce", {"ce": ce()}, {"ce": 1})
    show("kd", {"ce": ce(), "kd": tempered_kl(STUDENT, TEACHER, 4)}, {"ce": 0.1, "kd": 0.9})
    show("dkd, epoch 10", {"ce": ce(), "kd": dkd(1, 8, 4)}, {"ce": 1, "kd": 0.5})
    p, q = [softmax(z) for z in STUDENT], [softmax(z) for z in TEACHER]
    rows = mean([1 - correlation(a, b) for a, b in zip(p, q)])
    columns = mean([1 - correlation(a, b) for a, b in zip(zip(*p), zip(*q))])
    show("dist", {"ce": ce(), "kd": rows, "intra": columns}, {"ce": 1, "kd": 1, "intra": 1})
    z_s, z_t = [standardised(z) for z in STUDENT], [standardised(z) for z in TEACHER]
    show("logit-std", {"ce": ce(), "kd": tempered_kl(z_s, z_t, 2)}, {"ce": 0.1, "kd": 9})
    squares = [mean([(a - b) ** 2 for a, b in zip(r, f)]) for r, f in zip(HINT, FEATURE)]
    two = mean([-log(softmax(z)[y]) for z, y in zip(STUDENT[:2], LABEL[:2])])
    show("fitnet, first two samples", {"ce": two, "hint": mean(squares)}, {"ce": 1, "hint": 100})


if __name__ == "__main__":
    main()
