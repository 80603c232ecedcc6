# Fit a random intercept of the site to every feature, one after the other, and time it.
#
#   Rscript lme4_site.R people.csv measures.csv compared.csv
#
# Prints seconds as JSON; writes the expected value of every scan and feature.

suppressMessages(library(lme4))
paths <- commandArgs(trailingOnly = TRUE)
people <- read.csv(paths[1], stringsAsFactors = TRUE)
measures <- as.matrix(read.csv(paths[2]))

fit <- function(y) {
  lmer(y ~ age + sex + (1 | site), data = cbind(people, y = y))
}

first <- fit(measures[, 1])
seconds <- system.time(models <- apply(measures, 2, fit, simplify = FALSE))
expected <- sapply(models, predict, re.form = NA)
write.csv(expected, paths[3], row.names = FALSE)
cat(sprintf('{"wall": %f, "cpu": %f, "version": "%s"}\n', seconds[["elapsed"]],
            sum(seconds[c("user.self", "sys.self")]), packageVersion("lme4")))
