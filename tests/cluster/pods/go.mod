module slipway.lab/pods

go 1.26.0
