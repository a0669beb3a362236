# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the tests of the Python side, and prints ok, not ok and skip lines as tests/check.sh counts them.

usage: python3 tests/python/run.py [NAME...]       NAME: part of a test's name
"""
import os
import sys
import traceback
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


class Lines(unittest.TestResult):
    def name(self, test):
        return " ".join(test.id().split())

    def addSuccess(self, test):
        print("ok - " + self.name(test), flush=True)

    def addSkip(self, test, reason):
        print("skip - %s: %s" % (self.name(test), reason), flush=True)

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.report(subtest, error)

    def report(self, test, error):
        traceback.print_exception(*error)
        text = " ".join(traceback.format_exception_only(*error[:2])[-1].split())
        print("not ok - %s: %s" % (self.name(test), text[:300]), flush=True)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.report(test, error)

    def addError(self, test, error):
        super().addError(test, error)
        self.report(test, error)


def main():
    sys.path.insert(0, HERE)
    loader = unittest.TestLoader()
    loader.testNamePatterns = ["*%s*" % name for name in sys.argv[1:]] or None
    result = Lines()
    loader.discover(HERE, "test_*.py").run(result)
    return 0 if result.wasSuccessful() else 1


sys.exit(main())
