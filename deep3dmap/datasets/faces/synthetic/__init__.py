"""Synthetic photographs of faces: heads of the ICT face model, rendered, with exact labels.

After Wood et al., "Fake it till you make it: face analysis in the wild using synthetic data alone" (ICCV 2021), with what can
be had openly and in milliseconds: procedural skin, hair and surroundings in place of scanned and groomed ones.
"""
