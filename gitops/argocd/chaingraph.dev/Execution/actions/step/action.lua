-- Runs the held nodes once, and stays paused.
local os = require("os")
obj.spec.step = "argocd-" .. os.date("!%Y-%m-%dT%H:%M:%SZ") .. "-" .. (obj.metadata.resourceVersion or "0")
return obj
