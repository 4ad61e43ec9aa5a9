-- KEYS: records, all of one slot. Returns how many of them live, and the numbers of those of which a
-- script with their owner's index among its keys has to judge.
--
-- What is there has not expired. The beginning of a record tells whether it is one, and whose.
local live, unsure = 0, {}
for number, key in ipairs(KEYS) do
  local record = call('GETRANGE', key, 0, 313)
  local owner = #record >= 59 and string.byte(record) == 1 and string.byte(record, 58)
  if owner == 0 or owner and has_place(key, index_of(key, record, owner)) then
    live = live + 1
  elseif owner then
    table.insert(unsure, number)
  end
end
return {live, unsure}
