# Fit an additive model to every feature, one after the other, and time it.
#
#   Rscript mgcv.R people.csv measures.csv compared.csv
#
# Prints seconds as JSON; writes the centred curve of age of every feature.

suppressMessages(library(mgcv))
paths <- commandArgs(trailingOnly = TRUE)
people <- read.csv(paths[1], stringsAsFactors = TRUE)
measures <- as.matrix(read.csv(paths[2]))

fit <- function(y) {
  gam(y ~ 0 + site + sex + s(age, bs = "bs", k = 10, m = c(3, 2)),
      method = "REML", data = cbind(people, y = y))
}
curve_of_age <- function(model) {
  curve <- predict(model, type = "terms", terms = "s(age)")[, 1]
  curve - mean(curve)
}

first <- fit(measures[, 1])
seconds <- system.time(models <- apply(measures, 2, fit, simplify = FALSE))
write.csv(sapply(models, curve_of_age), paths[3], row.names = FALSE)
cat(sprintf('{"wall": %f, "cpu": %f, "version": "%s"}\n', seconds[["elapsed"]],
            sum(seconds[c("user.self", "sys.self")]), packageVersion("mgcv")))
