-- KEYS: records. ARGV: whether an index that is not there is lost, rather than on another master.
-- Returns for each of them 1 if it lives and 0 if not, or -1 if a script with its owner's index among
-- its keys has to judge.
--
-- What is there has not expired. The beginning of a record tells whether it is one, and whose.
local answers = {}
for number, key in ipairs(KEYS) do
  local bytes = call('GETRANGE', key, 0, HEADER_LEN + 254)
  local owner = #bytes >= HEADER_LEN and string.byte(bytes) == 1 and string.byte(bytes, 132)
  local is_live = owner and 1 or 0
  if owner and owner > 0 then
    local index = index_of(key, string.sub(bytes, HEADER_LEN + 1, HEADER_LEN + owner))
    is_live = has_place(key, index) and 1 or ARGV[1] ~= '' and 0 or -1
  end
  answers[number] = is_live
end
return answers
