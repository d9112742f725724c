module dureq/bench/peers/golines

go 1.25.0
