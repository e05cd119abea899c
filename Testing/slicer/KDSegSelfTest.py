"""The whole loop in a real Slicer, one line a step.

Discovered by ``slicer_add_python_unittest``; by hand:
``Slicer --no-splash --testing --additional-module-paths SlicerKDSeg --python-script Testing/slicer/KDSegSelfTest.py``.
"""

import sys
import unittest


class KDSegSelfTest(unittest.TestCase):
    def test_the_whole_loop(self):
        from slicer_kdseg.desktop.self_test import run

        run(print)


def main():
    import slicer

    tests = unittest.defaultTestLoader.loadTestsFromTestCase(KDSegSelfTest)
    result = unittest.TextTestRunner(stream=sys.stdout).run(tests)
    slicer.util.exit(0 if result.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
