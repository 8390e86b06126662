#!/usr/bin/env python3
"""Golden values of the checks of methods for language models, from their papers' formulas in plain Python.

Prints, for each method, the lines under `terms` and `total` in distill/methods/SLUG.yaml. Position t - 1 answers for token
t; the mask is 1 at tokens of a response, which are the units.
"""
from math import exp, log, log1p, sqrt

TOKENS = [[0, 2, 4, 1], [3, 1, 0, 0]]
MASK = [[0, 0, 1, 1], [0, 1, 0, 0]]
STUDENT = [[[.1, .2, .3, .4, .5], [1.0, -.5, .3, .2, -1.2], [.4, 1.1, -.6, .2, .9], [.0, .1, .0, .2, .3]],
           [[-.3, .8, .5, -1.0, .2], [.1, .1, .4, .4, .2], [.2, .0, .7, .1, .5], [.3, .2, .1, .0, -.1]]]
TEACHER = [[[.5, .4, .3, .2, .1], [.2, .6, -.9, 1.3, .4], [1.2, -.2, .7, -.4, .1], [.3, .1, .2, .0, .0]],
           [[.9, .1, -.7, .6, -.2], [.2, .4, .1, .4, .1], [.5, .1, .0, .2, .7], [-.1, .0, .1, .2, .3]]]
SECOND = [[[.2, .1, .4, .3, .2], [-.3, 1.1, .5, .0, .8], [.3, .3, -.8, 1.0, .6], [.1, .3, .0, .2, .0]],
          [[.4, -.6, .2, .9, 1.1], [.0, .4, .2, .3, .1], [.6, .2, .1, .1, .4], [.1, .2, .0, .1, .3]]]


def softmax(z, T=1.0):
    e = [exp((x - max(z)) / T) for x in z]
    return [x / sum(e) for x in e]


def log_softmax(z, T=1.0):
    return [log(p) for p in softmax(z, T)]


def kl(p, q):
    return sum(a * log(a / b) for a, b in zip(p, q) if a > 0)


def mix(p, q, share):
    return [share * a + (1 - share) * b for a, b in zip(p, q)]


def js(p, s, beta):
    m = mix(p, s, beta)
    return beta * kl(p, m) + (1 - beta) * kl(s, m)


def tv(p, s):
    return sum(abs(a - b) for a, b in zip(p, s)) / 2


PLACES = [(b, t) for b, row in enumerate(MASK) for t, m in enumerate(row) if m]
LENGTH = [sum(row) for row in MASK]


def per_token(f):
    """f(student logits, teacher logits, token) at each place."""
    return [f(STUDENT[b][t - 1], TEACHER[b][t - 1], TOKENS[b][t]) for b, t in PLACES]


def token_mean(values):
    return sum(values) / len(values)


def sequence_mean(values):
    return sum(v / LENGTH[b] for v, (b, _) in zip(values, PLACES)) / len(MASK)


def sequence_sum(values):
    return sum(values) / len(MASK)


def of(d, T=1.0):
    """A divergence of (p, s)."""
    return per_token(lambda s, t, y: d(softmax(t, T), softmax(s, T)))


def ce():
    return per_token(lambda s, t, y: -log(softmax(s)[y]))


def show(method, terms, weights=None):
    weights = weights or {k: 1 for k in terms}
    print(method)
    print("  terms: {" + ", ".join(f"{k}: {v:.12g}" for k, v in terms.items()) + "}")
    print(f"  total: {sum(weights[k] * v for k, v in terms.items()):.12g}")


def forward(p, s):
    return kl(p, s)


def reverse(p, s):
    return kl(s, p)


def akl(p, s, mu=.5):
    order = sorted(range(len(p)), key=lambda v: -p[v])
    head, mass = set(), 0
    for v in order:
        if mass < mu:
            head.add(v)
            mass += p[v]
    gap = [abs(a - b) for a, b in zip(p, s)]
    g_h = sum(g for v, g in enumerate(gap) if v in head)
    g_t = sum(gap) - g_h
    return (g_h * kl(p, s) + g_t * kl(s, p)) / (g_h + g_t)


def uld(p, s):
    return sum(abs(a - b) for a, b in zip(sorted(p, reverse=True), sorted(s, reverse=True)))


def top(p, s, k, tail):
    order = sorted(range(len(p)), key=lambda v: -p[v])[:k]
    a, b = [p[v] for v in order], [s[v] for v in order]
    if tail == "bucket":
        return kl(a + [1 - sum(a)], b + [1 - sum(b)])
    return kl([x / sum(a) for x in a], [x / sum(b) for x in b])


def data_methods():
    show("word-kd", {"ce": token_mean(ce()), "kd": 4 * token_mean(of(forward, 2))}, {"ce": .5, "kd": .5})
    show("survey-student-teacher, T 4", {"ce": token_mean(ce()), "kd": 16 * token_mean(of(forward, 4))},
         {"ce": .5, "kd": .5})
    show("ftvd", {"teacher": token_mean(of(tv)), "student": token_mean(of(tv))}, {"teacher": .5, "student": .5})
    show("akl", {"kd": token_mean(of(akl))})
    show("uld", {"ce": token_mean(ce()), "uld": token_mean(of(uld))}, {"ce": 1, "uld": 1.5})
    show("topk-cache", {"kd": token_mean(of(lambda p, s: top(p, s, 2, "bucket")))})
    show("seqkd", {"ce": token_mean(ce())})
    show("imitkd", {"expert": token_mean(per_token(lambda s, t, y: -log(softmax(s)[max(range(5), key=lambda v: t[v])])))})
    show("gkd", {"kd": token_mean(of(lambda p, s: js(p, s, .5)))})
    show("distillm", {"skew": token_mean(of(lambda p, s: kl(p, mix(p, s, .1)))), "ce": token_mean(ce())},
         {"skew": 1, "ce": 0})
    geometric = [(softmax([(a + c) / 2 for a, c in zip(TEACHER[b][t - 1], SECOND[b][t - 1])]),
                  softmax(STUDENT[b][t - 1])) for b, t in PLACES]
    both = [kl(p, s) for p, s in geometric]
    show("babyllama-2", {"ce": token_mean(ce()), "kd": sequence_sum(both)}, {"ce": .5, "kd": .5})
    # FIRST keeps five of seven outcomes: two logits more at every position.
    kept = [top([x ** .5 for x in softmax(TEACHER[b][t - 1] + [-.7, .6])], softmax(STUDENT[b][t - 1] + [.4, -.2]), 5,
                "renormalise") for b, t in PLACES]
    show("first, tau 2", {"kd": sequence_sum(kept)})
    show("ddk", {"ce": token_mean(ce()), "kd": token_mean(of(forward))}, {"ce": 1, "kd": 1})
    show("distilling-step-by-step", {"label": token_mean(ce()), "rationale": token_mean(ce())},
         {"label": .5, "rationale": .5})
    private = {(0, 2): 1}
    swing = []
    for b, t in PLACES:
        T = 1 + 3 * private.get((b, t), 0)
        swing.append(T * T * kl(softmax(TEACHER[b][t - 1], T), softmax(STUDENT[b][t - 1], T)))
    show("swing-distillation", {"ce": token_mean(ce()), "kd": token_mean(swing)}, {"ce": .5, "kd": .5})


def main():
    data_methods()


if __name__ == "__main__":
    main()
