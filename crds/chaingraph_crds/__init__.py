"""The API of ChainGraph: the kinds Flow and Execution of the group chaingraph.dev.

    names, limits, forms     names of the group and kinds; bounds; patterns of texts
    model                    base classes; how a field tells the schema generator what pydantic cannot
    flow, execution          the specs as people write them (execution_status, conditions: what the operator reports)
    errors                   validation errors in the words and paths of Kubernetes
    suggestions              names that resemble a misspelled one
    structural               pydantic model -> structural OpenAPI schema
    manifests, policies      the CustomResourceDefinitions, and the admission policy beside them
    reference                the reference page

Every other package may import this one; it imports none of ours.
"""
