#!/usr/bin/env python3
"""Golden values of the checks of methods for transformers, from their papers' formulas in plain Python.

Prints, for each method, what stands under `given`, `terms` and `total` in distill/methods/SLUG.yaml.
"""
from math import exp, log, sqrt

from golden_features import case, ce, dot, everything, mse, show, smooth_l1
from golden_methods import LABEL, STUDENT, TEACHER, kl, mean, softmax, tempered_kl

N = range(3)
# Tokens of three samples: [3 samples][2 tokens][3 features], and class tokens [3][2].
HS = [[[0.5, -1.0, 0.25], [0.8, 0.1, -0.4]], [[2.0, 0.0, -0.5], [-0.6, 0.9, 0.3]], [[-0.3, 0.8, 1.1], [0.4, 0.2, -0.7]]]
HT = [[[0.0, -0.5, 1.0], [1.2, -0.3, 0.6]], [[1.0, 0.5, 0.5], [0.2, 0.7, -0.9]], [[0.7, -1.2, 0.4], [-0.8, 0.3, 0.1]]]
KS = [[[0.9, 0.2, -0.1], [-0.3, 0.6, 0.5]], [[0.1, -0.7, 0.8], [1.1, 0.4, -0.2]], [[-0.5, 0.3, 0.6], [0.2, 0.9, -0.4]]]
KT = [[[-0.2, 0.4, 0.7], [0.5, -0.6, 0.3]], [[0.8, 0.1, -0.9], [-0.4, 1.0, 0.2]], [[0.3, -0.1, 0.5], [0.6, 0.7, -0.8]]]
QUERY_S, DOC_S = [h[0] for h in HS], [h[0] for h in KS]
QUERY_T, DOC_T = [h[0] for h in HT], [h[0] for h in KT]
LOGITS = {"student": STUDENT, "label": LABEL}


def attention_of(logits):
    return [[[softmax(row) for row in sample]] for sample in logits]


AS, AT, VS, VT = (attention_of([[row[:2] for row in sample] for sample in h]) for h in (HS, HT, KS, KT))


def rounded(x):
    return [rounded(y) for y in x] if isinstance(x, list) else float(f"{x:g}")


AS, AT, VS, VT = (rounded(a) for a in (AS, AT, VS, VT))


def row_kl(s, t, eps=1e-7):
    """Mean over heads and queries of sum t log((t + eps) / (s + eps))."""
    return mean([sum(q * log((q + eps) / (p + eps)) for p, q in zip(a, b))
                 for x, y in zip(s, t) for h, g in zip(x, y) for a, b in zip(h, g)])


def cosine(a, b):
    return dot(a, b) / sqrt(dot(a, a) * dot(b, b))


def scores(q, k):
    """[samples][heads][queries][keys], for lists of [samples][tokens][d] as one head."""
    return [[[dot(a, b) / sqrt(len(a)) for b in ks] for a in qs] for qs, ks in zip(q, k)]


def products(queries, documents):
    return [[dot(q, d) for d in documents] for q in queries]


def diagonal_ce(z):
    return mean([-log(softmax(row)[i]) for i, row in enumerate(z)])


def scores_kl(s, t):
    return mean([kl(softmax(b), softmax(a)) for a, b in zip(s, t)])


def encoder_roots():
    given = {"student.blocks.1.attn:attn": AS, "teacher.blocks.3.attn:attn": AT,
             "student.blocks.1.attn:value_relation": VS, "teacher.blocks.3.attn:value_relation": VT}
    yield "minilm", case(given, {"attention": row_kl(AS, AT), "value": row_kl(VS, VT)}, {"attention": 1, "value": 1})
    cos = mean([1 - cosine(a, b) for x, y in zip(HS, HT) for a, b in zip(x, y)])
    given = dict(LOGITS, **{"teacher": TEACHER, "student.norm": HS, "teacher.norm": HT})
    yield "distilbert", case(given, {"ce": ce(), "kd": tempered_kl(STUDENT, TEACHER, 2), "hidden": cos},
                             {"ce": 2, "kd": 5, "hidden": 1})

    def as_head(h):
        return [[tokens] for tokens in h]

    def layers(role, first, second):
        return {f"{role}.blocks.{first}.attn:q": as_head(HS if role == "student" else HT),
                f"{role}.blocks.{first}.attn:k": as_head(KS if role == "student" else KT),
                f"{role}.blocks.{second}.attn:q": as_head(KS if role == "student" else KT),
                f"{role}.blocks.{second}.attn:k": as_head(HS if role == "student" else HT)}
    attention = (mse(everything(scores(HS, KS)), everything(scores(HT, KT))) +
                 mse(everything(scores(KS, HS)), everything(scores(KT, HT))))
    hidden = (mse(everything(HS), everything(HT)) + mse(everything(KS), everything(KT)) +
              mse(everything(HS), everything(KT)))
    for slug, phase, role, suffix in (("tinybert", "general", "pretrained", "gd"),
                                      ("ernie-tiny", "task_soft", "teacher", "tad")):
        given = dict(layers("student", 0, 1), **layers(role, 1, 3))
        given.update({"student.hidden.0": HS, "student.hidden.1": KS, "student.hidden.2": HS,
                      f"{role}.patch_embed": HT, f"{role}.blocks.1": KT, f"{role}.blocks.3": KT})
        terms = {f"attention_{suffix}": attention, f"hidden_{suffix}": hidden}
        if slug == "ernie-tiny":
            given.update(LOGITS, teacher=TEACHER)
            terms.update(soft=tempered_kl(STUDENT, TEACHER, 1), ce=ce())
        yield slug, dict(case(given, terms, dict.fromkeys(terms, 1)), phase=phase)


def encoder_rows():
    exits = {"student.exits.0": TEACHER, "student.exits.1": STUDENT, "label": LABEL}
    yield "mose", case(exits, {"exits": ce(TEACHER) / 2 + ce()}, {"exits": 1})
    z_s, z_t = products(QUERY_S, DOC_S), products(QUERY_T, DOC_T)
    layers_s = [products([h[0] for h in HS], [h[0] for h in KS]), products([h[0] for h in KS], [h[0] for h in HT])]
    layers_t = [products([h[0] for h in HT], [h[0] for h in KT]), products([h[0] for h in KT], [h[0] for h in HS])]
    shares = softmax([-diagonal_ce(t) for t in layers_t], 10)
    terms = {"nll_student": diagonal_ce(z_s), "nll_teacher": diagonal_ce(z_t), "kl_student": scores_kl(z_s, z_t),
             "kl_teacher": scores_kl(z_t, z_s),
             "layers": sum(w * scores_kl(s, t) for w, s, t in zip(shares, layers_s, layers_t))}
    given = {"label": LABEL, "student.head:in@query": QUERY_S, "student.head:in": DOC_S,
             "teacher.head:in@query": QUERY_T, "teacher.head:in": DOC_T,
             "student.blocks.0@query": HS, "student.blocks.1@query": KS, "student.blocks.0": KS,
             "student.blocks.1": HT, "teacher.blocks.1@query": HT, "teacher.blocks.3@query": KT,
             "teacher.blocks.1": KT, "teacher.blocks.3": HS}
    yield "lead", case(given, terms, dict.fromkeys(terms, 1))
    a, f = 0.5, products(QUERY_T, QUERY_S)  # f[i][j]: x_i, y_j
    joint = mean([f[j][j] - log(a * mean([exp(f[i][j]) for i in N]) + (1 - a) * exp(1)) for j in N])

    def apart(j):
        return [exp(f[i][j]) for i in N if i != j]
    independent = mean([mean(apart(j)) / (a * mean(apart(j)) + (1 - a) * exp(1)) for j in N])
    given = dict(LOGITS, **{"teacher": TEACHER, "student.mine": QUERY_S, "student.theirs": QUERY_T})
    terms = {"ce": ce(), "kd": tempered_kl(STUDENT, TEACHER, 1), "mi": independent - joint - 1}
    yield "distiller-mi-alpha", case(given, terms, {"ce": 1, "kd": 1, "mi": 1})

    def splade(z):
        return [log(1 + max(x, 0)) for x in z]
    documents = [splade(z) for z in [[0.4, 1.3, -0.2, 0.7], [-0.9, 0.5, 1.6, 0.1], [1.1, -0.3, 0.2, 0.8]]]
    s = products([splade(z) for z in STUDENT], documents)
    rewrite = rounded([[3 * x for x in z] for z in TEACHER])
    t = products([splade(z) for z in rewrite], documents)
    given = {"student@conversation": STUDENT, "teacher@rewrite": rewrite,
             "teacher": [[0.4, 1.3, -0.2, 0.7], [-0.9, 0.5, 1.6, 0.1], [1.1, -0.3, 0.2, 0.8]]}
    yield "disco-conv", case(given, {"scores": scores_kl(s, t)}, {"scores": 1})
    given = dict(LOGITS, teacher=TEACHER)
    yield "panda", case(given, {"ce": ce(), "kd": mse(everything(STUDENT), everything(TEACHER))},
                        {"ce": 1, "kd": 0.1 * 0.5})

    def layer_norm(v):
        d = sqrt(mean([(x - mean(v)) ** 2 for x in v]) + 1e-6)
        return [(x - mean(v)) / d for x in v]
    final = smooth_l1(HS, [[layer_norm(v) for v in tokens] for tokens in HT])
    given = {"student.blocks.0.attn:attn": AS, "masked.blocks.2.attn:attn": AT,
             "student.blocks.0.attn:value_relation": VS, "masked.blocks.2.attn:value_relation": VT,
             "student.final": HS, "teacher.norm": HT}
    yield "hybrid-distill", case(given, {"attention": row_kl(AS, AT), "value": row_kl(VS, VT), "final": final},
                                 {"attention": 1, "value": 1, "final": 1})
    levels = [[0.2], [-0.4], [0.7]]
    task = mean([(z[0] - y / 16) ** 2 for z, y in zip(levels, LABEL)])
    given = {"label": LABEL, "student.score": levels, "student.aligned": QUERY_S, "teacher.head:in": QUERY_T}
    yield "pain-vit", case(given, {"pain": task, "feature": mse(everything(QUERY_S), everything(QUERY_T))},
                           {"pain": 1, "feature": 1})


def main():
    for group in (encoder_roots, encoder_rows):
        for slug, c in group():
            show(slug, c)


if __name__ == "__main__":
    main()
