"""FreeSurfer's tables and stats files are joined by subject, columns as FreeSurfer names them."""

import numpy as np
import pandas as pd
import pytest
from known_truth import shared_folder

from isoscan.errors import (
    AlignmentWarning,
    DuplicateIdsError,
    MissingFileError,
    NotNumericError,
    TableFormatError,
    UnmatchedRowsError,
)
from isoscan.tables import freesurfer_totals, read_freesurfer, read_measures

ASEG = """\
# Title Segmentation Statistics
#
# generating_program mri_segstats
# cmdline mri_segstats --seg mri/aseg.mgz --sum stats/aseg.stats
# subjectname {subject}
# Measure BrainSeg, BrainSegVol, Brain Segmentation Volume, 1133158.000000, mm^3
# Measure BrainSegNotVent, BrainSegVolNotVent, Brain Segmentation Volume Without Ventricles, \
1113800.000000, mm^3
# Measure lhCortex, lhCortexVol, Left hemisphere cortical gray matter volume, 247685.315168, mm^3
# Measure BrainSegVol-to-eTIV, BrainSegVol-to-eTIV, Ratio of BrainSegVol to eTIV, 0.750000, unitless
# Measure SurfaceHoles, SurfaceHoles, Total number of defect holes in surfaces, 23, unitless
# Measure EstimatedTotalIntraCranialVol, eTIV, Estimated Total Intracranial Volume, {etiv}, mm^3
# NRows 2
# NTableCols 10
# ColHeaders  Index SegId NVoxels Volume_mm3 StructName normMean normStdDev normMin normMax
  1   4     6541     6541.2  Left-Lateral-Ventricle            34.0   12.0    10.0    86.0
  2  17     4616     {hippocampus}  Left-Hippocampus           72.9    9.0    25.0   116.0
"""

APARC = """\
# Table of FreeSurfer cortical parcellation anatomical statistics
#
# subjectname {subject}
# hemi {hemi}
# Measure Cortex, NumVert, Number of Vertices, 121000, unitless
# Measure Cortex, WhiteSurfArea, White Surface Total Area, 78532.1, mm^2
# Measure Cortex, MeanThickness, Mean Thickness, 2.55365, mm
# Measure BrainSegNotVent, BrainSegVolNotVent, Brain Segmentation Volume Without Ventricles, \
1113800.000000, mm^3
# Measure EstimatedTotalIntraCranialVol, eTIV, Estimated Total Intracranial Volume, 1500000.5, mm^3
# NTableCols 10
# ColHeaders StructName NumVert SurfArea GrayVol ThickAvg ThickStd MeanCurv GausCurv FoldInd CurvInd
bankssts             1304    868   2235  2.238 0.441     0.103     0.021       12     1.1
insula               3300   2199   6422  3.038 0.702     0.123     0.035       34     4.3
"""


def write_subject(folder, subject, kinds=("aseg", "lh.aparc", "rh.aparc"), hippocampus="4616.0"):
    stats = folder / subject / "stats"
    stats.mkdir(parents=True)
    for kind in kinds:
        text = (ASEG if kind == "aseg" else APARC).format(
            subject=subject, hemi=kind[:2], etiv="1500000.500000", hippocampus=hippocampus
        )
        (stats / f"{kind}.stats").write_text(text)


def write_table(path, first, columns, rows, sign="\t"):
    lines = [[first, *columns], *([subject, *map(str, values)] for subject, values in rows.items())]
    path.write_text("".join(sign.join(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize(("sign", "name"), [("\t", "a.tsv"), (",", "a.csv"), ("\t", "a.txt")])
def test_table_is_read_whatever_its_delimiter(tmp_path, sign, name):
    path = write_table(
        tmp_path / name, "Measure:volume", ["Left-Hippocampus"], {"001": [4616]}, sign
    )
    table = read_freesurfer(path)
    assert table.index.tolist() == ["001"]
    assert table.index.name == "subject"
    assert table["Left-Hippocampus"].tolist() == [4616.0]
    assert table.dtypes.tolist() == [np.float64]


def test_hemispheres_are_joined_by_subject_not_by_order(tmp_path):
    paths = [
        write_table(
            tmp_path / f"{hemi}.tsv",
            f"{hemi}.aparc.thickness",
            [f"{hemi}_insula_thickness", "eTIV"],
            {subject: values[hemi] for subject, values in order},
        )
        for hemi, order in (
            ("lh", [("a", {"lh": [3.1, 15]}), ("b", {"lh": [2.9, 14]})]),
            ("rh", [("b", {"rh": [2.8, 14]}), ("a", {"rh": [3.2, 15]})]),
        )
    ]
    joined = read_freesurfer(paths)
    assert joined.loc["a"].tolist() == [3.1, 15, 3.2]
    pd.testing.assert_frame_equal(joined, read_freesurfer(tmp_path))


def test_subject_without_a_hemisphere_is_named(tmp_path):
    write_table(tmp_path / "lh.tsv", "lh.aparc.area", ["lh_insula_area"], {"a": [1], "b": [2]})
    write_table(tmp_path / "rh.tsv", "rh.aparc.area", ["rh_insula_area"], {"b": [2]})
    with pytest.raises(UnmatchedRowsError, match=r"1 of 2 ids not in rh.tsv: 'a'"):
        read_freesurfer(tmp_path)
    with pytest.warns(AlignmentWarning, match="'a'"):
        assert read_freesurfer(tmp_path, unmatched="drop").index.tolist() == ["b"]


def test_transposed_table_is_turned(tmp_path):
    rows = {"Left-Hippocampus": [4616, 4700], "eTIV": [15, 16]}
    path = write_table(tmp_path / "a.tsv", "Measure:volume", ["sub-1", "sub-2"], rows)
    table = read_freesurfer(path)
    assert table.loc["sub-2"].to_dict() == {"Left-Hippocampus": 4700, "eTIV": 16}


def test_longitudinal_ids_and_paths_stay_ids(tmp_path):
    rows = {"sub-1_ses-1.long.sub-1": [1], "sub-2/": [2]}
    path = write_table(tmp_path / "a.tsv", "Measure:volume", ["CSF"], rows)
    assert read_freesurfer(path).index.tolist() == ["sub-1_ses-1.long.sub-1", "sub-2"]


def test_value_that_is_no_number_is_named(tmp_path):
    path = write_table(tmp_path / "a.tsv", "Measure:volume", ["CSF"], {"a": ["x"], "b": [1]})
    with pytest.raises(NotNumericError, match=r"a.tsv: CSF: 1 value .* \(row a\)"):
        read_freesurfer(path)


def test_other_tables_are_refused(tmp_path):
    path = write_table(tmp_path / "a.tsv", "participant_id", ["age"], {"a": [1]})
    with pytest.raises(TableFormatError, match="is no FreeSurfer table"):
        read_freesurfer(path)
    with pytest.raises(TableFormatError, match="neither FreeSurfer tables nor stats"):
        read_freesurfer(tmp_path)
    with pytest.raises(TableFormatError, match="No FreeSurfer table"):
        read_freesurfer([])


def test_subjects_dir_gives_the_columns_of_freesurfers_own_tables(tmp_path):
    for subject in ("sub-2", "sub-1", "fsaverage"):
        write_subject(tmp_path, subject)
    table = read_freesurfer(tmp_path)
    assert table.index.tolist() == ["sub-1", "sub-2"]
    assert table.loc["sub-1"].to_dict() == {
        "Left-Lateral-Ventricle": 6541.2,
        "Left-Hippocampus": 4616.0,
        "BrainSegVol": 1133158.0,
        "BrainSegVolNotVent": 1113800.0,
        "lhCortexVol": 247685.315168,
        "BrainSegVol-to-eTIV": 0.75,
        "SurfaceHoles": 23.0,
        "EstimatedTotalIntraCranialVol": 1500000.5,
        "lh_bankssts_thickness": 2.238,
        "lh_insula_thickness": 3.038,
        "lh_MeanThickness_thickness": 2.55365,
        "eTIV": 1500000.5,
        "rh_bankssts_thickness": 2.238,
        "rh_insula_thickness": 3.038,
        "rh_MeanThickness_thickness": 2.55365,
    }


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ("volume", {"lh_bankssts_volume": 2235.0, "lh_insula_volume": 6422.0}),
        (
            "area",
            {"lh_bankssts_area": 868, "lh_insula_area": 2199, "lh_WhiteSurfArea_area": 78532.1},
        ),
    ],
)
def test_measure_of_the_cortex_can_be_chosen(tmp_path, measure, expected):
    write_subject(tmp_path, "sub-1", kinds=["lh.aparc"])
    row = read_freesurfer(tmp_path, measure=measure).loc["sub-1"].to_dict()
    assert row == expected | {"BrainSegVolNotVent": 1113800.0, "eTIV": 1500000.5}


def test_several_measures_stand_side_by_side(tmp_path):
    write_subject(tmp_path, "sub-1", kinds=["lh.aparc"])
    columns = read_freesurfer(tmp_path, measure=["thickness", "volume"]).columns
    assert {"lh_insula_thickness", "lh_insula_volume"} <= set(columns)


def test_unknown_measure_and_parcellation_are_refused(tmp_path):
    write_subject(tmp_path, "sub-1", kinds=["lh.aparc"])
    with pytest.raises(ValueError, match="measure is 'curvature'"):
        read_freesurfer(tmp_path, measure="curvature")
    with pytest.raises(MissingFileError, match=r"lh\.aparc\.a2009s\.stats"):
        read_freesurfer(tmp_path, parcellation="aparc.a2009s")


def test_subject_without_a_stats_file_is_named(tmp_path):
    write_subject(tmp_path, "sub-1")
    write_subject(tmp_path, "sub-2", kinds=["aseg", "lh.aparc"])
    with pytest.raises(UnmatchedRowsError, match=r"not in rh.aparc.stats: 'sub-2'"):
        read_freesurfer(tmp_path)


def test_structure_that_was_not_found_is_missing_not_zero(tmp_path):
    for subject in ("sub-1", "sub-2"):
        write_subject(tmp_path, subject, kinds=["aseg"])
    path = tmp_path / "sub-2" / "stats" / "aseg.stats"
    kept = [line for line in path.read_text().splitlines() if "Left-Hippocampus" not in line]
    path.write_text("\n".join(kept))
    table = read_freesurfer(tmp_path)["Left-Hippocampus"]
    assert table.isna().to_dict() == {"sub-1": False, "sub-2": True}


@pytest.mark.parametrize("name", ["sub-1_{}.stats", "sub-1.{}.stats"])
def test_flat_folder_of_stats_files_is_read(tmp_path, name):
    write_subject(tmp_path / "x", "sub-1")
    flat = tmp_path / "flat"
    flat.mkdir()
    for kind in ("aseg", "lh.aparc", "rh.aparc"):
        source = tmp_path / "x" / "sub-1" / "stats" / f"{kind}.stats"
        source.rename(flat / name.format(kind))
    table = read_freesurfer(flat)
    assert table.index.tolist() == ["sub-1"]
    assert table.shape[1] == 15


def test_folder_of_one_subject_and_of_sessions_are_read(tmp_path):
    write_subject(tmp_path / "sub-1", "ses-a", kinds=["aseg"])
    assert read_freesurfer(tmp_path).index.tolist() == ["sub-1_ses-a"]
    assert read_freesurfer(tmp_path / "sub-1" / "ses-a").index.tolist() == ["ses-a"]


def test_subject_with_two_files_is_refused(tmp_path):
    write_subject(tmp_path, "sub-1", kinds=["aseg"])
    (tmp_path / "sub-1_aseg.stats").write_text(ASEG)
    with pytest.raises(DuplicateIdsError, match="Subject 'sub-1' has two files"):
        read_freesurfer(tmp_path)


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("# ColHeaders", "# Columns", "is cut off"),
        ("Brain Segmentation Volume, 1133158.000000,", "1133158.000000,", "cannot read the line"),
        ("1133158.000000", "?", r"'\?' is not a number"),
        ("Volume_mm3", "Volume", "no column Volume_mm3"),
        ("4616.0", "many", "'many' is not a number"),
    ],
)
def test_damaged_stats_file_is_refused_by_name(tmp_path, before, after, what):
    write_subject(tmp_path, "sub-1", kinds=["aseg"])
    path = tmp_path / "sub-1" / "stats" / "aseg.stats"
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(TableFormatError, match=what) as caught:
        read_freesurfer(tmp_path)
    assert "aseg.stats" in str(caught.value)


def test_empty_stats_file_is_refused(tmp_path):
    write_subject(tmp_path, "sub-1", kinds=["aseg"])
    (tmp_path / "sub-1" / "stats" / "aseg.stats").write_text("")
    with pytest.raises(TableFormatError, match=r"no rows\. Did recon-all finish"):
        read_freesurfer(tmp_path)


TOTALS = """
    IntraCranialVol EstimatedTotalIntraCranialVol eTIV sTIV CortexVol lhCortexVol rhCortexVol
    CorticalWhiteMatterVol lhCerebralWhiteMatterVol SubCortGrayVol TotalGrayVol SupraTentorialVol
    SupraTentorialVolNotVent SupraTentorialVolNotVentVox BrainSegVol BrainSegVolNotVent
    BrainSegVolNotVentSurf MaskVol BrainSegVol-to-eTIV SurfaceHoles lhSurfaceHoles
    VentricleChoroidVol lh_MeanThickness_thickness rh_WhiteSurfArea_area
""".split()
REGIONS = """
    Left-Hippocampus Left-Cerebellum-Cortex 3rd-Ventricle CSF Brain-Stem WM-hypointensities
    CC_Posterior lh_insula_thickness rh_bankssts_volume lh_G&S_frontomargin_thickness
    Left-Cerebellum-White-Matter
""".split()


def test_totals_are_told_apart_from_regions():
    assert freesurfer_totals([*REGIONS, *TOTALS]) == TOTALS


def test_real_tables_of_799_people_are_joined():
    folder = shared_folder("data/abide")
    table = read_freesurfer(folder)
    assert table.shape == (799, 193)
    assert table.loc["sub-0050004", "rh_insula_volume"] == 8882.0
    assert "IntraCranialVol" in freesurfer_totals(table.columns)


def test_decimal_commas_are_read_when_asked_for(tmp_path):
    path = tmp_path / "lh.tsv"
    path.write_text("lh.aparc.thickness\tlh_insula_thickness\nsub-01\t2,75\n")
    assert read_freesurfer(path, decimal=",").loc["sub-01", "lh_insula_thickness"] == 2.75
    assert read_measures(path, decimal=",").loc["sub-01", "lh_insula_thickness"] == 2.75
