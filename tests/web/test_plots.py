from processors.web.plots import HEIGHT, WIDTH, plot


def test_the_highest_bar_is_as_high_as_there_is_room_and_every_value_is_seen() -> None:
    drawn = plot("Arrived", [("a", 0), ("b", 1), ("c", 1000)])
    assert (drawn.highest, drawn.total) == (1000, 1001)
    assert [bar.height > 0 for bar in drawn.bars] == [False, True, True]
    assert drawn.bars[2].y > 0
    assert all(bar.y + bar.height == HEIGHT for bar in drawn.bars)
    assert drawn.bars[2].x + drawn.bars[2].width < WIDTH


def test_a_plot_of_nothing_is_drawn() -> None:
    assert plot("Arrived", []).bars == []
    assert plot("Arrived", [("a", 0)]).highest == 0
