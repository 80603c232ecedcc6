"""Facts of realistic shape about a simulated cohort, as the other steps would report them."""

import numpy as np
import pandas as pd

from isoscan.phantom import simulate_tables
from isoscan.report import collect_facts


def cohort(n_features=12, scans_per_site=(20, 16, 12), **options):
    return simulate_tables(n_features, scans_per_site, random_state=7, **options)


def facts_about(cohort, *, describe=True, evaluate=True, model=True, **options):
    return collect_facts(
        cohort.measures,
        cohort.clean,
        sites=cohort.people.site,
        covariates=cohort.people,
        describe_facts=describe_facts(cohort) if describe else None,
        evaluate_facts=evaluate_facts(cohort) if evaluate else None,
        model_facts=model_facts(cohort) if model else None,
        **options,
    )


def rename_everything(cohort, name):
    """The same cohort with one name for the first site, feature and scan."""
    people = cohort.people.replace({"site": {"SITE01": name}}).rename(index={"sub-0001": name})
    first = cohort.measures.columns[0]
    return type(cohort)(
        measures=cohort.measures.rename(columns={first: name}, index={"sub-0001": name}),
        people=people,
        clean=cohort.clean.rename(columns={first: name}, index={"sub-0001": name}),
        shift=cohort.shift.rename(columns={first: name}, index={"SITE01": name}),
        scale=cohort.scale.rename(columns={first: name}, index={"SITE01": name}),
        slopes=cohort.slopes.rename(columns={first: name}),
    )


def scans_per_site(cohort):
    return {site: int(scans) for site, scans in cohort.people.site.value_counts(sort=False).items()}


def describe_facts(cohort):
    people, sites = cohort.people, scans_per_site(cohort)
    first, feature = next(iter(sites)), str(cohort.measures.columns[0])
    age = people.groupby("site").age.describe(percentiles=[0.05, 0.5, 0.95])
    low, high = age["min"].max(), age["max"].min()
    inside = people.age.between(low, high).groupby(people.site).mean()
    return {
        "scans": len(people),
        "features": cohort.measures.shape[1],
        "sites": sites,
        "missing": {"share": 0.0, "by_site": {}},
        "constant_features": [],
        "constant_within_site": [{"feature": feature, "site": first}],
        "covariates": {
            "age": {
                "kind": "numeric",
                "by_site": {
                    site: {
                        "n": int(row["count"]),
                        "missing": 0,
                        "min": row["min"],
                        "q05": row["5%"],
                        "median": row["50%"],
                        "q95": row["95%"],
                        "max": row["max"],
                        "mean": row["mean"],
                        "sd": row["std"],
                    }
                    for site, row in age.iterrows()
                },
            },
            **{name: _levels(people, name) for name in ("sex", "diagnosis")},
        },
        "overlap": {
            "age": {
                "common_range": [low, high],
                "share_inside": people.age.between(low, high).mean(),
                "by_site": inside.to_dict(),
                "pairs_without_overlap": [],
            }
        },
        "confounding": {
            "aliased": [],
            "near": [
                {
                    "term": "age",
                    "r2_with_site": 0.41,
                    "vif": 1.7,
                    "sentence": "Site explains 41% of age: its slope is estimated with 1.7 times "
                    "the variance it would have if sites had the same ages.",
                }
            ],
        },
        "outliers": {
            "rule": {"robust_z": 5, "share": 0.1},
            "scans": [
                {
                    "scan": str(people.index[0]),
                    "site": first,
                    "share": 0.21,
                    "round": 1,
                    "worst": [feature],
                }
            ],
        },
        "extremes": [
            {
                "scan": str(people.index[1]),
                "site": first,
                "feature": feature,
                "value": 9.1,
                "typical": 2.4,
                "robust_z": 31.0,
                "sentence": f"{people.index[1]} at {first}: {feature} is 9.1, typical is 2.4.",
            }
        ],
        "units": [],
        "sentinels": [],
        "findings": [
            {
                "level": "warning",
                "code": "near-confounded",
                "sentence": "Site explains 41% of age; slopes of age are less certain for it.",
            },
            {
                "level": "note",
                "code": "extreme-value",
                "sentence": f"1 value is far outside its site: {feature} of {people.index[1]}.",
            },
            {"level": "good", "code": "size", "sentence": "Every site has at least 10 scans."},
        ],
    }


def _levels(people, name):
    counts = pd.crosstab(people.site, people[name])
    return {
        "kind": "categorical",
        "levels": list(counts.columns),
        "by_site": {site: row.astype(int).to_dict() for site, row in counts.iterrows()},
    }


def evaluate_facts(cohort):
    random = np.random.default_rng(3)
    features, sites = list(cohort.measures.columns), scans_per_site(cohort)
    before, after = (_effects(table, cohort.people.site, random) for table in _tables(cohort))
    return {
        "scans": len(cohort.people),
        "sites": sites,
        "features": features,
        "site_effects": {
            "before": before,
            "after": after,
            "summary": {"before": _summary(before, features), "after": _summary(after, features)},
        },
        "distributions": {
            "sites": list(sites),
            "before": _pairs(random, len(sites), -6),
            "after": _pairs(random, len(sites), -0.4),
            "share_significant": {"before": 0.34, "after": 0.004},
        },
        "predictability": {
            "before": {"balanced_accuracy": 0.83, "low": 0.80, "high": 0.86},
            "after": {
                "balanced_accuracy": 0.2 / len(sites),
                "low": 0.1 / len(sites),
                "high": 0.4 / len(sites),
            },
            "held_out": {
                "balanced_accuracy": 1.1 / len(sites),
                "low": 0.8 / len(sites),
                "high": 1.4 / len(sites),
            },
            "chance": 1 / len(sites),
            "classifier": "linear discriminant analysis",
            "folds": 5,
            "reason": None,
        },
        "biology": {
            "terms": {
                term: _slopes(cohort.slopes.loc[row].to_numpy(), random)
                for term, row in {
                    "age": "age",
                    "C(sex)[T.M]": "sex",
                    "C(diagnosis)[T.patient]": "diagnosis",
                }.items()
            },
            "rank_order": {
                "median": 0.994,
                "lowest": {"site": next(iter(sites)), "feature": features[0], "value": 0.971},
                "by_site": dict.fromkeys(sites, 0.99),
            },
        },
        "findings": [
            {
                "level": "good",
                "code": "mean",
                "sentence": "The mean differed by site in 95% of features before harmonization "
                "and in 0.5% after.",
            },
            {
                "level": "good",
                "code": "slopes",
                "sentence": "Slopes of age, sex and diagnosis are the same to within their "
                "95% intervals in every feature.",
            },
        ],
    }


def _tables(cohort):
    return cohort.measures, cohort.clean


def _effects(table, sites, random):
    between = table.groupby(sites).transform("mean").var() / table.var()
    p = np.exp(-between.to_numpy() * 300)
    return {
        "partial_r2": between.to_numpy(),
        "f": 1 + 80 * between.to_numpy(),
        "p": p,
        "levene_p": p ** random.uniform(0.1, 0.5, len(p)),
        "fligner_p": p ** random.uniform(0.1, 0.5, len(p)),
    }


def _summary(effects, features):
    return {
        "median_partial_r2": np.median(effects["partial_r2"]),
        "max_partial_r2": effects["partial_r2"].max(),
        "worst_feature": features[int(effects["partial_r2"].argmax())],
        "share_mean_significant": np.mean(effects["p"] < 0.001),
        "share_variance_significant": np.mean(effects["levene_p"] < 0.001),
    }


def _pairs(random, n_sites, power):
    p = 10 ** (power * random.random((n_sites, n_sites)) ** 2)
    p = np.minimum(p, p.T)
    return [[None if a == b else p[a, b] for b in range(n_sites)] for a in range(n_sites)]


def _slopes(truth, random):
    spread = np.abs(truth).mean() * random.uniform(0.2, 0.6, len(truth))
    before = truth + spread * random.normal(size=len(truth)) * 0.3
    after = before + spread * random.normal(size=len(truth)) * 0.35
    return {
        "before": {"slope": before, "low": before - 1.96 * spread, "high": before + 1.96 * spread},
        "after": {"slope": after, "low": after - 1.7 * spread, "high": after + 1.7 * spread},
        "correlation": float(np.corrcoef(before, after)[0, 1]) if len(truth) > 1 else None,
        "median_ratio": 0.98,
        "share_interval_overlap": 1.0,
        "share_significant": {"before": 0.74, "after": 0.79},
    }


def model_facts(cohort):
    return {
        "method": "ComBat",
        "options": {"prior": "parametric", "mean_only": False, "robust": False},
        "preserve": "age + C(sex) + C(diagnosis)",
        "remove": None,
        "reference": None,
        "sites": scans_per_site(cohort),
        "features": cohort.measures.shape[1],
        "passed_through": [],
        "warnings": ["1 site has fewer than 20 scans; its correction leans on the other features."],
        "software": {"isoscan": "0.1.0", "numpy": np.__version__, "scipy": "1.17.0"},
        "hash": "5f2a" * 16,
        "site_effects": {
            "sites": list(cohort.shift.index),
            "features": list(cohort.shift.columns),
            "shift": cohort.shift.to_numpy(),
            "scale": cohort.scale.to_numpy(),
        },
        "methods_text": "Measures were harmonized with ComBat (Johnson et al. 2007; Fortin et al. "
        "2018), which estimates a shift and a scale per site and feature and shrinks them with "
        "empirical Bayes.\n\nAge, sex and diagnosis were preserved.",
        "citations": [
            {
                "key": "johnson2007",
                "text": "Johnson, Li & Rabinovic (2007). Adjusting batch effects in microarray "
                "expression data using empirical Bayes methods. Biostatistics 8:118–127.",
                "doi": "10.1093/biostatistics/kxj037",
            },
            {
                "key": "fortin2018",
                "text": "Fortin et al. (2018). Harmonization of cortical thickness measurements "
                "across scanners and sites. NeuroImage 167:104–120.",
                "doi": "10.1016/j.neuroimage.2017.11.024",
            },
        ],
    }
