"""`python -m tuning`: what can be done with studies of many networks."""

from masll.common.command import commands, run

main = commands(
    "tuning",
    "Studies: every variant tuned alike, retrained over seeds, compared",
    {
        "search": "begin a study, or go on with one",
        "status": "how far a study is, or which there are",
        "smoke": "whether all works on this machine's GPUs",
    },
)

if __name__ == "__main__":
    run(main)
