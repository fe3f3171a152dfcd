from segjax.drawing import drawable


def test_names_with_letters_that_the_font_lacks_are_numbered():
    assert drawable(["Gebäude", "вода", "背景", "a 🌲", "δ"]) == ("Gebäude", "вода", "class 2", "class 3", "δ")
