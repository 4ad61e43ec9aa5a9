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

-- Writes a record of these parts, from its version on. Redis drops a key in the millisecond after its
-- expiry, so that is one less.
local function write(key, parts, ends)
  parts[1] = '\1' .. parts[1]
  call('SET', key, table.concat(parts), 'PXAT', ends - 1)
end

-- Lets an owner's index live as long as the longest-lived of its sessions.
local function extend(index, ends)
  if call('PEXPIRETIME', index) < ends then
    call('PEXPIREAT', index, ends)
  end
end
