-- Resumes after a pause by `spec.paused`; from a breakpoint with a new token.
local os = require("os")
if obj.spec.paused == true then
  obj.spec.paused = false
else
  obj.spec.resume = "argocd-" .. os.date("!%Y-%m-%dT%H:%M:%SZ") .. "-" .. (obj.metadata.resourceVersion or "0")
end
return obj
