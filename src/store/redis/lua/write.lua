-- Writes a record of these parts, from its version on. Redis drops a key in the millisecond after its
-- expiry, so that is one less.
local function write(key, parts, ends)
  parts[1] = '\1' .. parts[1]
  call('SET', key, table.concat(parts), 'PXAT', ends - 1)
end
