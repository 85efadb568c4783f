"""The command ``deep3dmap landmarks``: a page to mark a head's landmarks on, and from the marks to positions in the world."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``deep3dmap landmarks FOLDER ...``."""
    add = parser.add_argument
    add("folder", help="photographs with cameras, or a data set's name")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--page", default="marks.html", help="page to write, on which to click (default: marks.html)")
    what.add_argument("--marks", metavar="JSON", help="file that the page downloaded: write landmarks.json into the folder")
    add("--views", nargs="+", metavar="NAME", help="show only these photographs on the page")
    add("--format", help="read the folder as this format instead of detecting it")
    add("--force", action="store_true", help="replace a landmarks.json that is there")


def run(args: argparse.Namespace) -> int:
    """Write the page, or the landmarks."""
    from deep3dmap.apis.prepare.landmarks import make_marking_page, save_landmarks
    if args.marks is None:
        page = make_marking_page(args.folder, args.page, views=args.views, format=args.format)
        print(f"{page}: open it in a browser, click the six landmarks on two or more photographs, download the marks")
        return 0
    placed = save_landmarks(args.folder, args.marks, format=args.format, force=args.force)
    print(
        f"{len(placed.landmarks)} landmarks written to landmarks.json in {args.folder}; landmarks.png shows marks (rings) and "
        "landmarks (crosses)")
    return 0
