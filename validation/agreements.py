"""What agrees: reference -> case -> how isoscan is run on it."""

from __future__ import annotations

from typing import Any

from cases import Run

import isoscan as iso


def run(what: str, **options: Any) -> Run:
    """ComBat with options."""
    return Run(what, options=options)


def covbat(what: str, **options: Any) -> Run:
    """CovBat with options."""
    return Run(what, iso.CovBat, options)


def combatls(what: str, **options: Any) -> Run:
    """ComBatLS with options."""
    return Run(what, iso.ComBatLS, options)


PARAMETRIC = "parametric, age + sex + diagnosis"
PARTICLES = {"prior": "nonparametric"}

AGREES: dict[str, dict[str, Run]] = {
    "neurocombat-r": {
        "nc_R_param_cov": run(PARAMETRIC),
        "nc_R_param_nocov": run("parametric, no covariates"),
        "nc_R_volumes_cov": run("volumes"),
        "nc_R_ixi_cov": run("IXI, 3 sites"),
        "nc_R_fcon23_cov": run("FCON1000, 23 sites"),
        "nc_R_noeb_cov": run("no prior (`eb=FALSE`)", prior=None),
        "nc_R_nonparam_cov": run("non-parametric prior (`parametric=FALSE`)", **PARTICLES),
        "nc_R_meanonly_cov": run("mean only", mean_only=True),
        "nc_R_singleton_meanonly": run("mean only, a site of one scan", mean_only=True),
        "nc_R_ref_cov": run("reference site", reference="NYU"),
        "nc_R_missing_cov": run("missing values"),
        "nc_R_tinysite": run("tiny site"),
        "nc_R_tinysite_noeb": run("tiny site, no prior", prior=None),
        "nc_R_const_within_site": run("feature constant at one site"),
        "nc_R_offset1e6": run("10⁶ added to every value"),
        "nc_R_fromtraining_nomod": run("training, then new scans, no covariates"),
    },
    "neurocombat-python": {
        "nc_py_param_cov": run(PARAMETRIC),
        "nc_py_noeb_cov": run("no prior (`eb=False`)", prior=None),
        "nc_py_nonparam_cov": run("non-parametric prior (`parametric=False`)", **PARTICLES),
        "nc_py_meanonly_cov": run("mean only", mean_only=True),
        "nc_py_ref_cov": run("reference site", reference="NYU"),
        "nc_py_offset1e6": run("10⁶ added to every value"),
    },
    "sva": {
        "sva_param_cov": run(PARAMETRIC),
        "sva_nonparam_cov": run("non-parametric prior (`par.prior=FALSE`)", **PARTICLES),
        "sva_meanonly_cov": run("mean only", mean_only=True),
        "sva_ref_cov": run("reference site", reference="NYU"),
        "sva_tinysite_const": run("a feature constant everywhere, a site of two scans"),
    },
    "combatfamily": {
        "comfam_lm_cov": run("`lm`, covariates"),
        "comfam_lm_interaction": run("`lm`, interaction and square"),
        "comfam_lm_ref": run("`lm`, reference site", reference="NYU"),
        "comfam_lm_robust": run("`lm`, `robust.LS=TRUE`", robust=True),
        "comfam_predict_known": run("`predict`, new scans of known sites"),
        "comfam_predict_newbatch": run('`predict`, a new site: `adapt(prior="own")`'),
        "comfam_gam_cr_fixed": Run(
            '`gam`, `s(age, bs="cr", k=5, fx=TRUE)`: '
            "`preserve=\"cr(age, df=4, constraints='center')\"`",
            preserve="cr(age, df=4, constraints='center') + C(sex)",
        ),
        "covfam_lm_cov": covbat("`covfam`"),
        "covfam_lm_ref": covbat("`covfam`, reference site", reference="Guys"),
        "combatls_ixi": combatls("`combatls`, spread by age and sex"),
        "combatls_predict": combatls("`combatls`, then `predict` with `sigma.formula`"),
    },
    "covbat-r": {
        "covbat_R_pv95_cov": covbat("components with 95 % of the variance"),
        "covbat_R_npc5_nostd": covbat(
            "`n.pc=5`, `std.var=FALSE`", n_components=5, standardize=False
        ),
    },
    "neuroharmonize": {
        "nh_linear_apply": run("linear, training, then new scans"),
        "nh_linear_ref": run("linear, reference site", reference="HH"),
        "nh_newsite": run('`orig_model`, three new sites: `adapt(prior="own")`'),
    },
    "distributed-combat": {
        "dcombat_R_cov": run("covariates, each site in one location"),
    },
}
