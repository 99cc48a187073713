-- Running nodes end, no other node starts.
obj.spec.paused = true
return obj
