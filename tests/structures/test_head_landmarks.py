import torch

from deep3dmap.datasets.heads.ict_face import ICTFaceModel
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS, HEAD_LANDMARKS_OF_68, MEAN_HEAD_LANDMARKS, landmark_rows


def test_the_mean_heads_landmarks_are_those_of_the_published_model(real_data):
    model = ICTFaceModel.load(real_data / "ict_face")
    expected = torch.from_numpy(model.mean[model.landmarks68[list(HEAD_LANDMARKS_OF_68)]])
    torch.testing.assert_close(torch.tensor(MEAN_HEAD_LANDMARKS), expected, rtol=0, atol=0.002)


def test_right_is_the_subjects_right():
    for name, (x, _, _) in zip(HEAD_LANDMARKS, MEAN_HEAD_LANDMARKS):
        assert (x < 0) == name.startswith("right") and (x > 0) == name.startswith("left")


def test_rows_stand_in_the_order_of_the_names_with_gaps_where_one_is_missing():
    rows = landmark_rows(dict(left_lips=torch.tensor([1.0, 2, 3]), right_eye=torch.tensor([4.0, 5, 6])))
    assert rows.dtype == torch.float64 and rows[0].tolist() == [4, 5, 6] and rows[5].tolist() == [1, 2, 3]
    assert rows[1:5].isnan().all()
