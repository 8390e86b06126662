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


# Log-probabilities of the tokens that count (0 elsewhere), rewards and groups of the two responses.
LP = [[0, 0, -1.2, -.4], [0, -2.0, 0, 0]]
LP_TEACHER = [[0, 0, -.5, -.9], [0, -1.1, 0, 0]]
LP_OLD = [[0, 0, -1.0, -.6], [0, -1.5, 0, 0]]
IS_WEIGHT = [[0, 0, .8, 1.1], [0, .9, 0, 0]]
REWARD = [1, 0]
# A third view of the teacher.
THIRD = [[[round(.5 * a + .3 * (i % 3) - .2 * j, 2) for i, a in enumerate(row)] for j, row in enumerate(text)]
         for text in TEACHER]


def at_places(values):
    return [values[b][t] for b, t in PLACES]


def clipped(p, s, clip=.05):
    return sum(min(a * log(a / b), clip) for a, b in zip(p, s))


def gated():
    """AVSD: KL(s || q*) of three views."""
    values = []
    for b, t in PLACES:
        views, s, z = [log_softmax(x[b][t - 1]) for x in (TEACHER, SECOND, THIRD)], log_softmax(STUDENT[b][t - 1]), []
        for v in range(5):
            q = [w[v] for w in views]
            gap = [x - s[v] for x in q]
            consensus = abs(sum(gap) / 3)
            gain = max(log(sum(map(exp, q)) / 3) - sum(q) / 3, 0)
            share = consensus / (sum(map(abs, gap)) / 3 + 1e-8) * consensus / (consensus + gain + 1e-8)
            z.append(sum(q) / 3 + share * gain)
        values.append(kl(softmax(STUDENT[b][t - 1]), softmax(z)))
    return values


def agreement():
    """UniSD: the mean over responses of sum w min(KL, 10) / sum w."""
    lps = [[log_softmax(x[b][t - 1])[TOKENS[b][t]] for b, t in PLACES] for x in (SECOND, THIRD)]
    spread = [((a - c) / 2) ** 2 for a, c in zip(*lps)]
    d, total = of(forward), 0
    for row in range(2):
        places = [i for i, (b, _) in enumerate(PLACES) if b == row]
        own = sorted(spread[i] for i in places)
        position = .95 * (len(own) - 1)
        low = int(position)
        scale = own[low] + (position - low) * (own[min(low + 1, len(own) - 1)] - own[low])
        w = [max(1 / (1 + (min(spread[i] / scale, 10) if scale > 0 else 0)), .01) for i in places]
        total += sum(a * min(d[i], 10) for a, i in zip(w, places)) / sum(w)
    return total / 2


def ppo(advantage, low, high, weight=None, dual=None):
    losses = []
    for i, (lp, old) in enumerate(zip(at_places(LP), at_places(LP_OLD))):
        r = exp(lp - old) * (weight[i] if weight else 1)
        loss = max(-r * advantage[i], -min(max(r, 1 - low), 1 + high) * advantage[i])
        losses.append(min(loss, -dual * advantage[i]) if dual and advantage[i] < 0 else loss)
    return losses


def grouped(rewards):
    mean = sum(rewards) / 2
    deviation = sqrt(sum((r - mean) ** 2 for r in rewards)) + 1e-6
    return [(rewards[b] - mean) / deviation for b, _ in PLACES]


def minillm():
    rows, togo = [b for b, _ in PLACES], []
    reward = [max(-100, min(100, 2 * (t - o))) for t, o in zip(at_places(LP_TEACHER), at_places(LP_OLD))]
    for i, b in enumerate(rows):
        later = [r for k, r in enumerate(reward) if k >= i and rows[k] == b]
        togo.append(sum(later) / len(later))
    mean = sum(togo) / 3
    deviation = sqrt(sum((x - mean) ** 2 for x in togo) / 2) + 1e-8
    return ppo([(x - mean) / deviation for x in togo], .2, .2, at_places(IS_WEIGHT))


def rollout_methods():
    show("distillspec", {"kd": sequence_mean(of(tv))})
    oracle = [kl(softmax(STUDENT[b][t - 1]), softmax(SECOND[b][t - 1])) for b, t in PLACES]
    show("teacher-hacking", {"kd": token_mean(of(forward)), "proxy": token_mean(of(reverse)),
                             "golden": token_mean(oracle)}, {"kd": 1, "proxy": 0, "golden": 0})
    show("opsd", {"kd": sequence_mean(of(clipped))})
    show("avsd", {"kd": token_mean(gated())})
    contrast = [max(0, .5 + abs(s - g) - abs(s - b))
                for s, g, b in zip(at_places(LP), at_places(LP_TEACHER), at_places(LP_OLD))]
    feature = per_token(lambda s, t, y: sum((a - b) ** 2 for a, b in zip(s, t)) / 5)
    show("unisd", {"kd": agreement(), "contrast": token_mean(contrast), "feature": token_mean(feature)},
         {"kd": 1, "contrast": .1, "feature": .1})
    show("sd-zero, last phase", {"kd": token_mean(of(lambda p, s: (kl(p, s) + kl(s, p)) / 2))})
    for name, d in (("forward", forward), ("reverse", reverse)):
        values, w = of(d), [.25, .09]
        show(f"paced, {name}", {name: sum(w[b] * v / LENGTH[b] for v, (b, _) in zip(values, PLACES)) / sum(w)})


def policy_methods():
    lp, teacher = at_places(LP), at_places(LP_TEACHER)
    show("on-policy", {"pg": token_mean([-(t - s) * s for s, t in zip(lp, teacher)])})
    show("minillm", {"long": token_mean(minillm()), "single": token_mean(of(reverse)), "lm": token_mean(ce())})
    show("table-r1, second phase", {"pg": token_mean(ppo(grouped(REWARD), .2, .28, dual=10))})
    cost = [sum(s - t for s, t, (b, _) in zip(lp, teacher, PLACES) if b == row) for row in range(2)]
    show("cmdp, limit -1", {"pg": token_mean(ppo(grouped([-(c + 1) if c > -1 else 0 for c in cost]), .2, .2))})
    advantage, losses = grouped(REWARD), ppo(grouped(REWARD), .2, .2)
    losses[0] = -advantage[0] * exp(lp[0]) / (exp(lp[0]) + .1)
    show("thinktuning, the first token another's", {"pg": token_mean(losses)})
    k3 = [exp(s - o) * (exp(t - s) - 1 + s - t) for s, t, o in zip(lp, teacher, at_places(LP_OLD))]
    show("distill-data-and-rewards, last phase", {"pg": token_mean(ppo(grouped(REWARD), .2, .2)), "kl": token_mean(k3)},
         {"pg": 1, "kl": .1})


def preference_methods():
    def logistic(h):
        return log1p(exp(-h))

    total, anchor = [sum(x) for x in LP], [sum(x) for x in LP_TEACHER]
    mean, mean_anchor = [[v / n for v, n in zip(x, LENGTH)] for x in (total, anchor)]
    show("dpo", {"dpo": logistic(.1 * ((total[0] - anchor[0]) - (total[1] - anchor[1])))})
    show("dpkd", {"prefer": logistic(.1 * ((mean[0] - mean_anchor[0]) - (mean[1] - mean_anchor[1])))})
    show("redi, second phase", {"redi": -mean[0] + .8 * mean[1]})
    q = softmax([(r - .5) / (.5 + 1e-6) / .5 for r in REWARD])
    show("adpo", {"list": kl(q, softmax([(s - a) / .8 for s, a in zip(total, anchor)]))})
    aligned, advantages = [], []
    for b, t in PLACES:
        up, down, s = TEACHER[b][t - 1], SECOND[b][t - 1], softmax(STUDENT[b][t - 1])
        w = 1.5 * tv(softmax(up), softmax(down)) + .001
        aligned.append(kl(s, softmax([x + w * (x - y) for x, y in zip(up, down)])) / w)
        advantages.append(-sum(p * (x - y) for p, x, y in zip(s, log_softmax(up), log_softmax(down))))
    show("aligndistil, second phase", {"kd": sequence_sum(aligned)})
    guided = [kl(softmax(STUDENT[b][t - 1]), softmax([3 * x - 2 * y for x, y in zip(TEACHER[b][t - 1], SECOND[b][t - 1])]))
              for b, t in PLACES]
    unlike = 1 - 1 / sqrt(2)  # tokens 4, 1 and 1
    show("div-cfg", {"kd": sequence_sum(guided), "diversity": -unlike * sum(total) / 2})
    show("adpa, second phase", {"ce": token_mean(ce()), "better": token_mean(of(forward)),
                                "worse": token_mean(of(forward))}, {"ce": 1, "better": .2, "worse": .2})
    show("adpa, third phase", {"ce": token_mean(ce()), "advantage": token_mean(advantages)}, {"ce": 1, "advantage": 1.5})


def main():
    data_methods()
    rollout_methods()
    policy_methods()
    preference_methods()


if __name__ == "__main__":
    main()
