-- Starts an execution that was created paused.
obj.spec.paused = false
return obj
