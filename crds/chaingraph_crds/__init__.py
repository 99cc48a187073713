"""The API of ChainGraph: the kinds Flow and Execution of the group chaingraph.dev.

The models define the API. CustomResourceDefinitions, admission policy and reference pages are generated from them.
Every other package may import this one; it imports none of ours.
"""
