# Doxygen's view of meowmx.h (docs/Doxyfile): plain comments become its own, sections become groups, and a star that is C's
# is no emphasis.
NR == 1 {
	print "/// \\file"
}

/^#ifdef __cplusplus/ && grouped && !closed {
	print "///@}"
	closed = 1
}

/^\/\/ --- .* ---$/ {
	if (grouped)
		print "///@}"
	name = $0
	gsub(/^\/\/ --- | ---$/, "", name)
	print "/// \\name " toupper(substr(name, 1, 1)) substr(name, 2)
	print "///@{"
	grouped = 1
	next
}

/^[ \t]*\/\// {
	sub(/\/\//, "///")
	$0 = plain($0)
}

/[^ \t\/].*[ \t]\/\/ / && !/^[ \t]*\/\// {
	at = index($0, "// ")
	$0 = substr($0, 1, at - 1) "///< " plain(substr($0, at + 3))
}

{ print }

function plain(text)
{
	gsub(/\*/, "\\*", text)
	gsub(/[<>]/, "\\\\&", text)
	return text
}
