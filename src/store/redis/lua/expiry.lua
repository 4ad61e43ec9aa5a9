-- When a record ends.
local function ending(seen, idle, deadline)
  if idle == 0 then
    return deadline
  end
  if deadline == 0 then
    return seen + idle
  end
  return math.min(seen + idle, deadline)
end

-- Lets an owner's index live as long as the longest-lived of its sessions.
local function extend(index, ends)
  if call('PEXPIRETIME', index) < ends then
    call('PEXPIREAT', index, ends)
  end
end
