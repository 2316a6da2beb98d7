module flowgate.test/bench/loadgen

go 1.25.0
