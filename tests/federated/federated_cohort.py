"""A consortium on one table: who is where, and the study they agree upon."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from isoscan.federated import Study, Thresholds, combine, summarize

LAX = Thresholds.none()
COVARIATES = {"age": (5, 90), "sex": ("F", "M"), "diagnosis": ("control", "patient")}


@dataclass(frozen=True)
class Consortium:
    """Measures and people of all sites."""

    measures: pd.DataFrame
    people: pd.DataFrame

    def study(self, **options) -> Study:
        features = dict.fromkeys(self.measures.columns, "mm")
        options = {"thresholds": LAX, "preserve": "age + C(sex)"} | options
        return Study("demo", features, COVARIATES, **options)

    def at(self, rows) -> "Consortium":
        return Consortium(self.measures[rows], self.people[rows])

    def message(self, study, location="here", **options):
        options = {"ledger": None, "thresholds": study.thresholds} | options
        return summarize(
            self.measures,
            study,
            sites=self.people.site,
            covariates=self.people,
            location=location,
            **options,
        )

    def messages(self, study, places="site", **options):
        where = self.people[places]
        return [
            self.at(where == place).message(study, str(place), **options)
            for place in where.unique()
        ]

    def combined(self, study, places="site", **options):
        return combine(study, self.messages(study, places, **options))

    def applied(self, model) -> pd.DataFrame:
        return model.transform(self.measures, sites=self.people.site, covariates=self.people)

    def pooled(self, study):
        """The model of all data, by the designs that the study fixes."""
        from isoscan import ComBat

        options = study.estimator().get_params()
        return ComBat(**options).fit(self.measures, sites=self.people.site, covariates=self.people)


def make_consortium(sizes=(60, 55, 70, 45), n_features=8, seed=0, **change) -> Consortium:
    random = np.random.default_rng(seed)
    n = sum(sizes)
    site = np.repeat([f"S{number + 1}" for number in range(len(sizes))], sizes)
    people = pd.DataFrame(
        {
            "site": site,
            "age": np.concatenate([random.permutation(np.linspace(6, 89, k)) for k in sizes]),
            "sex": np.concatenate([random.permutation(np.resize(["F", "M"], k)) for k in sizes]),
            "diagnosis": random.choice(["control", "patient"], n),
            "hospital": random.choice(["east", "north", "west"], n),
        },
        index=pd.Index([f"sub-{number:04d}" for number in random.permutation(n)], name="id"),
    )
    order = random.permutation(n)
    people = people.iloc[order]
    shift = people.site.map({f"S{k + 1}": k / 3 for k in range(len(sizes))}).to_numpy()[:, None]
    values = random.normal(size=(n, n_features)) * (1 + 0.3 * shift) + shift
    values += 0.02 * people.age.to_numpy()[:, None] + np.cos(people.age / 12).to_numpy()[:, None]
    names = [f"region{number + 1}" for number in range(n_features)]
    return Consortium(pd.DataFrame(values, index=people.index, columns=names), people)
