"""Statistics: arrays in, frozen results out. Imports NumPy and SciPy only, does no I/O.

One family of methods a file. Every result carries the parameters that made it; the unit of resampling is the
question. What cannot be measured raises `NotMeasurable`, what does not converge raises `NotConverged`; NaN is
refused at the border and never returned.

A mean over questions, with an interval that resamples them; sums and counts of each question go in:

    >>> import numpy as np
    >>> from evalkit.stats.resample import question_bootstrap
    >>> scores = np.array([8.0, 6.0, 7.0, 9.0, 5.0])
    >>> found = question_bootstrap(scores, np.ones(5))
    >>> found.estimate, found.lower < 7 < found.upper, found.clusters
    (7.0, True, 5)

Bradley-Terry ratings of models 0, 1 and 2 from four battles: who met whom, and the score of the first (1, 0.5 or 0):

    >>> from evalkit.stats.battles import compress
    >>> from evalkit.stats.bradley_terry import bradley_terry
    >>> first, second, score = np.array([0, 1, 2, 0]), np.array([1, 2, 0, 1]), np.array([1.0, 1.0, 1.0, 0.0])
    >>> ratings = bradley_terry(compress(first, second, score, models=3)).ratings
    >>> (ratings + 0.001).round(1).tolist()
    [-0.4, 0.4, 0.0]
"""
