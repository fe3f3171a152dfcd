import pytest

from segjax.encoders.dilation import Steps, dilated


def test_stages_dilate_beyond_the_output_stride_and_their_first_blocks_follow():
    published = [Steps(1, 1, 1, 4), Steps(2, 1, 1, 8), Steps(2, 1, 1, 16), Steps(2, 1, 1, 32)]
    assert dilated((1, 2, 2, 2), 4, 32) == published
    assert dilated((1, 2, 2, 2), 4, 16) == [*published[:3], Steps(1, 1, 2, 16)]
    assert dilated((1, 2, 2, 2), 4, 8) == [*published[:2], Steps(1, 1, 2, 8), Steps(1, 2, 4, 8)]
    assert dilated((2, 1, 2), 8, 8) == [Steps(1, 1, 2, 8), Steps(1, 2, 2, 8), Steps(1, 2, 4, 8)]


def test_first_blocks_may_be_dilated_like_the_others():
    assert dilated((1, 2, 2, 2), 4, 8, dilate_first=True)[2:] == [Steps(1, 2, 2, 8), Steps(1, 4, 4, 8)]


def test_other_output_strides_are_refused():
    with pytest.raises(ValueError, match="output_stride is 8, 16 or 32, got 4"):
        dilated((1, 2), 4, 4)
