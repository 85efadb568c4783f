import numpy as np
import pytest
import trimesh

from deep3dmap.geometry.boundaries import boundary_loops, fan, loop_centre, peeled


def box_without(*normals) -> tuple[np.ndarray, np.ndarray]:
    """A unit cube without the sides of these normals."""
    box = trimesh.creation.box()
    gone = np.any([np.isclose(box.face_normals, n).all(1) for n in normals], 0)
    return np.asarray(box.vertices), np.asarray(box.faces[~gone])


def capped(vertices, faces) -> trimesh.Trimesh:
    for loop in boundary_loops(faces):
        faces = np.concatenate([faces, fan(loop, len(vertices))])
        vertices = np.concatenate([vertices, loop_centre(vertices[loop])[None]])
    return trimesh.Trimesh(vertices, faces, process=False)


@pytest.mark.parametrize("normals", [[(0, 1, 0)], [(1, 0, 0), (-1, 0, 0)]])
def test_fans_over_its_loops_close_an_open_cube_to_its_volume(normals):
    mesh = capped(*box_without(*normals))
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert mesh.volume == pytest.approx(1)


def test_there_is_a_loop_for_every_hole_with_the_vertices_around_it():
    vertices, faces = box_without((1, 0, 0), (-1, 0, 0))
    loops = boundary_loops(faces)
    assert sorted(len(loop) for loop in loops) == [4, 4]
    assert {float(vertices[loop, 0].mean()) for loop in loops} == {-0.5, 0.5}


def test_a_closed_mesh_has_no_loops():
    assert boundary_loops(np.asarray(trimesh.creation.icosphere(1).faces)) == []


def test_holes_that_meet_and_triangles_oriented_against_each_other_are_refused():
    faces = np.asarray(trimesh.creation.icosphere(2).faces)
    around = np.flatnonzero((faces == 0).any(1))
    with pytest.raises(ValueError, match="separate loops"):
        boundary_loops(np.delete(faces, around[[0, 2]], 0))
    faces = np.asarray(trimesh.creation.icosphere(1).faces).copy()
    faces[0] = faces[0][::-1]
    with pytest.raises(ValueError, match="oriented"):
        boundary_loops(faces)


def test_the_centre_of_a_loop_does_not_ask_how_many_vertices_an_edge_has():
    square = np.array([[0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0]], float)
    crowded = np.insert(square, 1, np.stack([np.linspace(0.1, 1.9, 30), np.zeros(30), np.zeros(30)], 1), 0)
    np.testing.assert_allclose(loop_centre(square), [1, 1, 0])
    np.testing.assert_allclose(loop_centre(crowded), [1, 1, 0])


def tube(rings: int, around: int = 8) -> np.ndarray:
    """Triangles of a tube of rings of vertices."""
    k, i = (a.ravel() for a in np.meshgrid(np.arange(rings - 1), np.arange(around), indexing="ij"))
    a, b = k * around + i, k * around + (i + 1) % around
    return np.concatenate([np.stack([a, b, a + around], 1), np.stack([b, b + around, a + around], 1)])


def test_strips_are_peeled_from_around_a_hole():
    faces = peeled(tube(6), np.arange(8), 2)
    assert set(faces.ravel()) == set(range(16, 48)) and len(faces) == 3 * 16


def test_peeling_ends_before_a_strip_that_is_not_regular():
    whole = np.concatenate([tube(3), fan(np.arange(16, 24), 24)])  # a cup: behind its two strips lies the bottom
    assert len(peeled(whole, np.arange(8), 5)) == 8
