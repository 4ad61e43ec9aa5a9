-- KEYS: the record, [its owner's index].
-- ARGV: the condition, `any`, `version`, `owner` or `claim`; its value; whether to hand the record out.
-- Returns 0 where the condition does not hold, 1 or the record where it is gone.
local key, condition, value, hands_out = KEYS[1], ARGV[1], ARGV[2], ARGV[3] ~= ''
local record, answer = read(key, KEYS[2], hands_out)
if not record then
  -- Bytes that are no record can be removed, and nothing else.
  if answer and answer.ok and condition == 'any' and not hands_out then
    call('UNLINK', key)
    return 1
  end
  return answer
end
local holds = condition == 'any'
if condition == 'version' then
  holds = string.sub(record.bytes, 2, 9) == value
elseif condition == 'owner' then
  holds = string.sub(record.bytes, record.owner_at, record.details_at - 1) == value
elseif condition == 'claim' then
  local standing = standing_of(record, value)
  holds = standing == 'current' or standing == 'previous'
end
if not holds then
  return 0
end
call('UNLINK', key)
if record.index then
  call('ZREM', record.index, string.sub(key, -KEY_LEN))
end
return hands_out and hand_out(record) or 1
