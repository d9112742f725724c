-- A call with a list does as much of it as keeps the call short, and answers for that much; its caller sends the rest again.
local list_room = LIST_BYTES
local function list_full(moved)
  list_room = list_room - #(moved or '')
  return list_room <= 0
end
