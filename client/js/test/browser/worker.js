// Of the tests: it does nothing but to be there.
