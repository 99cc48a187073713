-- The verbs of `kubectl chaingraph` as buttons. An action without effect, or that would be refused, is disabled.
local status = obj.status or {}
local phase = status.phase or "Pending"
local active = phase ~= "Completed" and phase ~= "Failed" and phase ~= "Stopped"
local seen = status.observedGeneration == obj.metadata.generation
local again = seen and (phase == "Failed" or phase == "Stopped")
local stopped = obj.spec.stop == true
local held = obj.spec.paused == true

local below = status.children or {}
local below_active = (below.pending or 0) + (below.created or 0) + (below.running or 0) + (below.paused or 0)

local function button(name, icon, enabled)
  return { displayName = name, iconClass = "fa fa-fw fa-" .. icon, disabled = not enabled }
end

return {
  ["start"] = button("Start", "play", phase == "Created" and held and not stopped),
  ["pause"] = button("Pause", "pause", active and not held and not stopped and phase ~= "Paused"),
  ["resume"] = button("Resume", "play", active and phase ~= "Created" and not stopped and (held or phase == "Paused")),
  ["step"] = button("Step", "step-forward", active and not stopped and (held or phase == "Paused")),
  ["stop"] = button("Stop", "stop", not stopped and (active or (phase == "Completed" and below_active > 0))),
  ["retry"] = button("Retry what failed", "redo", again),
  ["retry-from-start"] = button("Retry from the start", "history", again),
}
