-- The health of an Execution, from the conditions that kstatus reads, and `Paused`, which means Suspended.
local function answer(status, message)
  return { status = status, message = message }
end

local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return answer("Progressing", "Waiting for the operator")
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local function is_true(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end

local message = ""
if status.phase ~= nil and conditions.Succeeded ~= nil then
  message = status.phase .. ": " .. conditions.Succeeded.message
end

if is_true("Stalled") then
  return answer("Degraded", message)
end
if is_true("Ready") then
  local tree = conditions.TreeSucceeded
  if tree ~= nil and tree.status ~= "True" and tree.message ~= nil and tree.message ~= "" then
    message = message .. "; " .. tree.message
  end
  return answer("Healthy", message)
end
if is_true("Paused") and conditions.Paused.reason ~= "Resuming" then
  return answer("Suspended", conditions.Paused.message)
end
if is_true("WorkerLost") then
  return answer("Progressing", conditions.WorkerLost.message)
end
return answer("Progressing", message)
