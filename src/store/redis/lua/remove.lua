-- KEYS: the record, [its owner's index].
-- ARGV: the condition, `any`, `version` or `owner`; its value; whether to hand the record out.
local key = KEYS[1]
local record, now, seen, idle, deadline, index = read(key, KEYS[2], ARGV[3] ~= '')
if not record then
  -- Bytes that are no record can be removed, and nothing else.
  if now and now.ok and ARGV[1] == 'any' and ARGV[3] == '' then
    call('UNLINK', key)
    return 1
  end
  return now
end
local owner = string.byte(record, 58)
if ARGV[1] == 'version' and string.sub(record, 2, 9) ~= ARGV[2]
  or ARGV[1] == 'owner' and string.sub(record, 60, 59 + owner) ~= ARGV[2] then
  return 0
end
call('UNLINK', key)
if index then
  call('ZREM', index, string.sub(key, -43))
end
if ARGV[3] ~= '' then
  return struct.pack('>I8I8', now, seen) .. record
end
return 1
