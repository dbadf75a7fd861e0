"""The index of the demo's paintings that comes with Parallax says what is in their folder."""

import pandas as pd

from images.paintings import demo_image_set
from tools.write_demo_facts import look_at_images


def test_the_index_that_comes_along_is_what_reading_the_folder_finds(data_folder):
    """After a change: `python -m tools.write_demo_facts`."""
    index, found = demo_image_set(data_folder), look_at_images(data_folder)
    pd.testing.assert_frame_equal(index.table, found.table)
    assert (index.name, index.digest, index.skipped, index.remarks) == (found.name, found.digest, (), ())
